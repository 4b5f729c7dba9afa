// Metadata that a connection sends again and again: calls share one object, which cannot be changed.

import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import type { Metadata } from "../../call/metadata.ts";
import { ByteBuffer } from "../../codec/bytes.ts";
import { beginCall, endFrame } from "../../codec/frame.ts";
import { FrameDecoder } from "../../codec/frame_decoder.ts";
import { KeyCache } from "../../codec/key_cache.ts";

/** What a decoder gives for calls with these metadata, one after the other. */
function received(...all: Metadata[]): Metadata[] {
  const out = new ByteBuffer();
  for (const metadata of all) {
    const start = out.length;
    beginCall(out, 1, "A.b", 0, metadata);
    endFrame(out, start);
  }
  const decoder = new FrameDecoder(1 << 20, new KeyCache(), out.written());
  return all.map(() => {
    assert(decoder.next());
    return decoder.metadata!;
  });
}

Deno.test("metadata that is repeated is one object from the second time on, which cannot be changed", () => {
  const token = new Map([["authorization", "Bearer secret"], ["trace", "1"]]);
  const all = received(token, token, token, new Map([["authorization", "Bearer"]]), token, token, token);
  const [first, second, third, other, ...again] = all;
  assertEquals(first, token);
  assertEquals(second, token);
  assertStrictEquals(third, second);
  assertEquals(other, new Map([["authorization", "Bearer"]]));
  assertEquals(again, [token, token, token]);
  assertStrictEquals(again[2], again[1]);
  for (const change of ["set", "delete", "clear"] as const) {
    assertThrows(
      () => Reflect.apply(Reflect.get(second!, change), second, ["trace", "2"]),
      TypeError,
      "copy it",
    );
  }
  assertEquals(second, token);
});

Deno.test("metadata that differs from call to call belongs to its call, which may change it", () => {
  const [first, second, third] = received(...["1", "2", "2"].map((id) => new Map([["id", id]])));
  (first as Map<string, string>).set("id", "0");
  (second as Map<string, string>).set("id", "0");
  assertEquals(third, new Map([["id", "2"]]));
});

Deno.test("metadata that begins like the last one, or holds bytes, is not shared", () => {
  const bytes = new Map([["a", Uint8Array.of(1)]]);
  const [first, second, , short, long] = received(
    bytes,
    bytes,
    bytes,
    new Map([["a", "1"]]),
    new Map([["a", "12"]]),
  );
  assert(second !== first);
  assertEquals([...short!, ...long!], [["a", "1"], ["a", "12"]]);
});
