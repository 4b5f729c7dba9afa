// What handlers send with results and errors, and what becomes of what cannot be sent. Over memory and TCP.

import { assertEquals } from "@std/assert";
import type { CallContext } from "../../call/handler.ts";
import { RpcError } from "../../call/error.ts";
import { fails, testSession } from "../support/session_pair.ts";

const NOT_FOUND = new RpcError("not_found", "No such thing", { details: { id: 3 } });
/** More than fits in a header. */
const LARGE = "x".repeat(20_000);

testSession("an error whose metadata fit in no header arrives without them", async (open) => {
  const log: string[] = [];
  await using pair = await open({
    log: (message) => log.push(message),
    methods: {
      fail: (length: number, { replyMetadata }: CallContext) => {
        replyMetadata.set("a", "x".repeat(length));
        throw NOT_FOUND;
      },
      wordy: (_: unknown, { replyMetadata }: CallContext) => {
        replyMetadata.set("a", "x".repeat(10_000));
        throw new RpcError("not_found", "☺".repeat(8_192), { details: () => {} });
      },
    },
  });
  const whole = await fails(pair.call("fail", 16_000), "not_found", "No such thing");
  assertEquals([whole.metadata.size, whole.details], [1, { id: 3 }]);
  assertEquals(log, []);
  const bare = await fails(pair.call("fail", 20_000), "not_found", "No such thing");
  assertEquals([bare.metadata.size, bare.details], [0, { id: 3 }]);
  const wordy = await fails(pair.call("wordy"), "not_found", "☺".repeat(2_730));
  assertEquals([wordy.metadata.size, wordy.details], [0, undefined]);
  assertEquals(log.length, 2);
  assertEquals(await pair.call("echo", "alive"), "alive");
});

testSession(
  "a result whose metadata fit in no header is an error, and its connection lives",
  async (open) => {
    await using pair = await open({
      methods: {
        large: (_: unknown, { replyMetadata }: CallContext) => void replyMetadata.set("a", LARGE),
        wrong: (_: unknown, { replyMetadata }: CallContext) => void replyMetadata.set("A b", "x"),
        reserved: (_: unknown, { replyMetadata }: CallContext) => void replyMetadata.set("not-started", ""),
      },
    });
    const error = await fails(pair.call("large"), "resource_exhausted", "16384");
    assertEquals([error.notStarted, error.metadata.size], [false, 0]);
    for (const name of ["wrong", "reserved"]) {
      const error = await fails(pair.call(name), "internal", "The handler failed");
      assertEquals([error.notStarted, error.metadata.size], [false, 0]);
    }
    assertEquals(await pair.call("echo", "alive"), "alive");
  },
);
