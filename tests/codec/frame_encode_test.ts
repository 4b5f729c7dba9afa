// The writing of frames, pure: each kind read back by another decoder and by the library's own.

import { assert, assertEquals } from "@std/assert";
import { encodeHex } from "@std/encoding";
import { ByteBuffer } from "../../codec/bytes.ts";
import {
  beginCall,
  beginEnd,
  beginError,
  beginItem,
  beginReply,
  endFrame,
  Kind,
  MAX_MESSAGE_BYTES,
  writeCredit,
  writeGoAway,
  writeShort,
} from "../../codec/frame.ts";
import { FrameDecoder } from "../../codec/frame_decoder.ts";
import { KeyCache } from "../../codec/key_cache.ts";
import { bytes, cbor, type Item, uncbor } from "../support/raw_peer.ts";

/** Writes one frame into a buffer that already holds something, and returns its header and body. */
function written(write: (out: ByteBuffer) => void, body?: Uint8Array): { header: Item[]; body: Uint8Array } {
  const out = new ByteBuffer(1);
  out.append(bytes("before"));
  const start = out.length;
  write(out);
  if (body !== undefined) {
    out.append(body);
    endFrame(out, start);
  }
  const whole = out.written().slice(start);
  assertEquals(whole[0], 0x5a);
  assertEquals(new DataView(whole.buffer).getUint32(1), whole.length - 5, "the length of the frame");
  assertEquals(out.bytes.slice(0, start), bytes("before"), "what was there before");
  const [header, end] = uncbor(whole, 5);
  assertEquals(encodeHex(cbor(header)), encodeHex(whole.slice(5, end)), "headers are in the shortest form");
  return { header: header as Item[], body: whole.slice(end) };
}

const NUMBERS = [1, 23, 24, 255, 256, 65_535, 65_536, 0xffffffff, 0x100000000, Number.MAX_SAFE_INTEGER];
const TEXTS = ["", "a", "x".repeat(23), "x".repeat(24), "x".repeat(300), "é", `${"x".repeat(22)}é`, "😈☺"];
const METADATA = new Map<string, string | Uint8Array>([["a", "x"], ["b.c-d_e", new Uint8Array(300)], [
  "f",
  "",
]]);
const NONE = new Uint8Array(0);
const BODY = bytes("body");

Deno.test("frames written: numbers of every width", () => {
  for (const n of NUMBERS) {
    for (const kind of [Kind.End, Kind.Cancel, Kind.Ping, Kind.Pong]) {
      assertEquals(written((out) => writeShort(out, kind, n)), { header: [kind, n], body: NONE });
    }
    assertEquals(written((out) => writeCredit(out, n, n, n)).header, [7, n, n, n]);
    assertEquals(written((out) => beginReply(out, n), BODY), { header: [2, n], body: BODY });
    assertEquals(written((out) => beginEnd(out, n), NONE), { header: [5, n], body: NONE });
    assertEquals(written((out) => beginEnd(out, n, METADATA), NONE).header, [5, n, METADATA]);
    assertEquals(written((out) => beginItem(out, n), BODY), { header: [4, n], body: BODY });
    assertEquals(written((out) => beginCall(out, n, "A.b", n, undefined), BODY).header, [1, n, "A.b", n]);
  }
});

Deno.test("frames written: texts of every width and script", () => {
  for (const text of TEXTS) {
    const { header, body } = written((out) => beginCall(out, 1, text, 0, METADATA), BODY);
    assertEquals([header, body], [[1, 1, text, 0, METADATA], BODY]);
    assertEquals(written((out) => writeGoAway(out, 0, "unavailable", text)).header, [
      10,
      0,
      "unavailable",
      text,
    ]);
    assertEquals(written((out) => beginError(out, 1, "internal", text), NONE).header, [
      3,
      1,
      "internal",
      text,
    ]);
  }
});

Deno.test("frames written: a message is cut to 8 KiB between two characters", () => {
  for (const character of ["x", "é", "☺", "😈"]) {
    for (const shift of ["", "a", "ab", "abc"]) {
      const message = shift + character.repeat(MAX_MESSAGE_BYTES);
      const cut = written((out) => writeGoAway(out, 1, "internal", message)).header[3] as string;
      const length = new TextEncoder().encode(cut).length;
      assert(length <= MAX_MESSAGE_BYTES && length > MAX_MESSAGE_BYTES - 4, `${length} bytes`);
      assert(message.startsWith(cut));
      assertEquals(written((out) => beginError(out, 1, "internal", message), NONE).header[3], cut);
    }
  }
});

Deno.test("frames written: the library reads them back as they were", () => {
  const out = new ByteBuffer(1);
  const finish = (start: number) => {
    out.append(BODY);
    endFrame(out, start);
  };
  beginCall(out, 1, "Arith.sum", 500, METADATA);
  finish(0);
  let start = out.length;
  beginReply(out, 3, METADATA);
  finish(start);
  start = out.length;
  beginError(out, 5, "not_found", "No such thing", METADATA);
  finish(start);
  start = out.length;
  beginItem(out, 7);
  finish(start);
  writeShort(out, Kind.End, 9);
  start = out.length;
  beginEnd(out, 9, METADATA);
  endFrame(out, start);
  writeCredit(out, 11, 32, 131_072);
  writeGoAway(out, 13, "unavailable", "Shutting down");

  const decoder = new FrameDecoder(65_536, new KeyCache(), out.written());
  const next = () => {
    assert(decoder.next());
    const { kind, seq, bodyStart, bodyEnd } = decoder;
    return [kind, seq, new TextDecoder().decode(decoder.bytes.subarray(bodyStart, bodyEnd))];
  };
  assertEquals(next(), [1, 1, "body"]);
  assertEquals([decoder.method, decoder.timeout, decoder.metadata], ["Arith.sum", 500, METADATA]);
  assertEquals(next(), [2, 3, "body"]);
  assertEquals(decoder.metadata, METADATA);
  assertEquals(next(), [3, 5, "body"]);
  assertEquals([decoder.code, decoder.message, decoder.metadata], ["not_found", "No such thing", METADATA]);
  assertEquals(next(), [4, 7, "body"]);
  assertEquals(next(), [5, 9, ""]);
  assertEquals(decoder.metadata, undefined);
  assertEquals(next(), [5, 9, ""]);
  assertEquals(decoder.metadata, METADATA);
  assertEquals(next(), [7, 11, ""]);
  assertEquals([decoder.items, decoder.creditBytes], [32, 131_072]);
  assertEquals(next(), [10, 13, ""]);
  assertEquals([decoder.code, decoder.message], ["unavailable", "Shutting down"]);
  assertEquals([decoder.next(), decoder.partial], [false, 0]);
});
