// Frames written and cut, without any connection: `deno bench bench/frame_bench.ts`. A turn of a busy connection holds
// a hundred frames or so, which arrive in one read; the same bytes in small pieces are the worst case.

import { ByteBuffer } from "../codec/bytes.ts";
import { beginCall, beginReply, endFrame } from "../codec/frame.ts";
import { FrameDecoder } from "../codec/frame_decoder.ts";
import { KeyCache } from "../codec/key_cache.ts";

const FRAMES = 100;
const MAX_FRAME = 4_194_304;
const SMALL = Uint8Array.of(0xa2, 0x61, 0x61, 1, 0x61, 0x62, 2);
const LARGE = new Uint8Array(65_536);

function writeCalls(out: ByteBuffer): void {
  for (let seq = 1; seq <= FRAMES; seq++) {
    const start = out.length;
    beginCall(out, seq, "Arith.sum", 30_000, undefined);
    out.append(SMALL);
    endFrame(out, start);
  }
}

function writeReplies(out: ByteBuffer, body: Uint8Array): void {
  for (let seq = 1; seq <= FRAMES; seq++) {
    const start = out.length;
    beginReply(out, seq);
    out.append(body);
    endFrame(out, start);
  }
}

/** Feeds bytes to a decoder as a connection would, in reads of at most `most` bytes; checks how many frames came. */
function cut(decoder: FrameDecoder, bytes: Uint8Array, most: number): void {
  let frames = 0;
  for (let at = 0; at < bytes.length;) {
    const space = decoder.space();
    const count = Math.min(space.length, most, bytes.length - at);
    space.set(bytes.subarray(at, at + count));
    decoder.filled(count);
    at += count;
    while (decoder.next()) frames++;
  }
  if (frames !== FRAMES) throw new Error(`${frames} frames came of ${FRAMES}`);
}

const out = new ByteBuffer(65_536);
Deno.bench("100 calls", { group: "write" }, () => {
  out.length = 0;
  writeCalls(out);
});
Deno.bench("100 replies", { group: "write" }, () => {
  out.length = 0;
  writeReplies(out, SMALL);
});

const written = (write: (out: ByteBuffer) => void) => {
  const out = new ByteBuffer(65_536);
  write(out);
  return out.written().slice();
};
const calls = written(writeCalls);
const replies = written((out) => writeReplies(out, SMALL));
const large = written((out) => writeReplies(out, LARGE));
const decoder = () => new FrameDecoder(MAX_FRAME, new KeyCache());
const [forCalls, forReplies, forPieces, forLarge] = [decoder(), decoder(), decoder(), decoder()];

Deno.bench("100 calls in one read", { group: "cut", baseline: true }, () => cut(forCalls, calls, Infinity));
Deno.bench("100 replies in one read", { group: "cut" }, () => cut(forReplies, replies, Infinity));
Deno.bench("100 calls, 16 bytes a read", { group: "cut" }, () => cut(forPieces, calls, 16));
Deno.bench("100 replies of 64 KiB", { group: "cut" }, () => cut(forLarge, large, Infinity));
