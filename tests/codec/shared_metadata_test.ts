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

Deno.test("equal metadata of consecutive calls is one object, which cannot be changed", () => {
  const token = new Map([["authorization", "Bearer secret"], ["trace", "1"]]);
  const [first, second, other, fourth] = received(
    token,
    token,
    new Map([["authorization", "Bearer"]]),
    token,
  );
  assertEquals(first, token);
  assertStrictEquals(second, first);
  assertEquals(other, new Map([["authorization", "Bearer"]]));
  assertEquals(fourth, token);
  for (const change of ["set", "delete", "clear"] as const) {
    assertThrows(
      () => Reflect.apply(Reflect.get(first!, change), first, ["trace", "2"]),
      TypeError,
      "copy it",
    );
  }
  assertEquals(first, token);
});

Deno.test("metadata that begins like the last one, or holds bytes, is not shared", () => {
  const bytes = new Map([["a", Uint8Array.of(1)]]);
  const [first, second, short, long] = received(bytes, bytes, new Map([["a", "1"]]), new Map([["a", "12"]]));
  assert(second !== first);
  assertEquals([...short!, ...long!], [["a", "1"], ["a", "12"]]);
});
