// When a silent peer is asked whether it is there, and that it never is without heartbeat.

import { assertEquals } from "@std/assert";
import { ByteBuffer } from "../codec/bytes.ts";
import { Heartbeat } from "../transport/heartbeat.ts";
import { sessionLimits } from "../transport/limits.ts";
import type { Outbox } from "../transport/outbox.ts";

/** A heartbeat that was last heard at 5 000 ms, the bytes that it writes, and what it says. */
function heart(limits: { heartbeatInterval: number; heartbeatTimeout: number }) {
  const written = new ByteBuffer();
  const outbox = { lately: 5_000, unsent: 0, open: () => written } as unknown as Outbox;
  const said: string[] = [];
  const heartbeat = new Heartbeat(sessionLimits(limits), outbox, {
    onQuiet: () => said.push("quiet"),
    onSilent: (silence) => said.push(`silent for ${silence}`),
  });
  return { heartbeat, said, written };
}

Deno.test("heartbeat: a silent peer is asked, then given up; a doubtful one is asked after a second", () => {
  const { heartbeat, said, written } = heart({ heartbeatInterval: 30_000, heartbeatTimeout: 10_000 });
  assertEquals([heartbeat.due, heartbeat.interval, heartbeat.probeInterval], [35_000, 30_000, 1_000]);
  assertEquals(heartbeat.check(5_999, 0, true), 35_000);
  assertEquals([said.length, written.length], [0, 0]);
  assertEquals(heartbeat.check(6_000, 0, true), 16_000);
  assertEquals(said, ["quiet"]);
  assertEquals(heartbeat.check(16_000, 500, false), 16_500);
  assertEquals(heartbeat.check(16_500, 500, false), Infinity);
  assertEquals(said, ["quiet", "silent for 11500"]);
  const before = written.length;
  assertEquals(heartbeat.probe(20_000), 21_000);
  assertEquals(written.length > before, true);
});

Deno.test("heartbeat: an interval of 0 never asks, whatever there is to doubt", () => {
  const { heartbeat, said, written } = heart({ heartbeatInterval: 0, heartbeatTimeout: 1 });
  assertEquals([heartbeat.due, heartbeat.interval, heartbeat.probeInterval], [Infinity, Infinity, Infinity]);
  assertEquals(heartbeat.check(1e9, 0, true), Infinity);
  assertEquals(heartbeat.check(1e9, 0, false), Infinity);
  assertEquals(heartbeat.probe(1e9), Infinity);
  assertEquals([said.length, written.length], [0, 0]);
});
