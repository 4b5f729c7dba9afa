// Benchmarks encoding and decoding of frames without a connection: `deno bench bench/frame_bench.ts`. A busy
// connection handles about a hundred frames per event loop turn, which arrive in one read; the same bytes in
// small pieces are the worst case.

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

/** Decodes bytes as a connection would, in reads of at most `maxRead` bytes, and checks the number of frames. */
function decodeFrames(decoder: FrameDecoder, bytes: Uint8Array, maxRead: number): void {
  let frames = 0;
  for (let at = 0; at < bytes.length;) {
    const space = decoder.space();
    const count = Math.min(space.length, maxRead, bytes.length - at);
    space.set(bytes.subarray(at, at + count));
    decoder.filled(count);
    at += count;
    while (decoder.next()) frames++;
  }
  if (frames !== FRAMES) throw new Error(`Decoded ${frames} frames of ${FRAMES}`);
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

Deno.bench(
  "100 calls in one read",
  { group: "decode", baseline: true },
  () => decodeFrames(forCalls, calls, Infinity),
);
Deno.bench("100 replies in one read", { group: "decode" }, () => decodeFrames(forReplies, replies, Infinity));
Deno.bench("100 calls, 16 bytes per read", { group: "decode" }, () => decodeFrames(forPieces, calls, 16));
Deno.bench("100 replies of 64 KiB", { group: "decode" }, () => decodeFrames(forLarge, large, Infinity));
