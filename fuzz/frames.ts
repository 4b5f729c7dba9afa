// Fuzzes the frame decoder: however a stream is split into reads, it must yield the same frames and the same
// error.

import { RpcError } from "../call/error.ts";
import { ByteBuffer } from "../codec/bytes.ts";
import * as write from "../codec/frame.ts";
import { FrameDecoder } from "../codec/frame_decoder.ts";
import { KeyCache } from "../codec/key_cache.ts";
import { Random, randomText } from "../tests/support/cbor_random.ts";
import { Mutator } from "./mutate.ts";
import { described, Finding, hashOf, type Target } from "./target.ts";

const CORPUS = 500;
const MAX_FRAME = 65_536;
/** Maximum size of the receive buffer beyond the bytes that have arrived. */
const SPARE = 262_144;

/** The decoded stream: its frames, each with all its fields, and why it ended. */
interface Decoded {
  readonly frames: unknown[][];
  readonly end: string;
}

/** Creates the target. */
export function framesTarget(random: Random): Target {
  const mutator = new Mutator(Array.from({ length: CORPUS }, () => randomStream(random)));
  const names = new KeyCache();
  return {
    name: "frames",
    concurrency: 1,
    next: (random) => mutator.next(random),
    check(bytes) {
      const inOnePiece = decodeStream(bytes, names, () => bytes.length);
      const pieces = new Random(hashOf(bytes));
      const maxPiece = pieces.pick([1, 3, 40, 700]);
      compare(
        inOnePiece,
        decodeStream(bytes, names, () => 1 + pieces.below(maxPiece)),
        `pieces of up to ${maxPiece}`,
      );
      return classOf(inOnePiece.end);
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** Decodes a stream with a new decoder, piece by piece. */
function decodeStream(bytes: Uint8Array, names: KeyCache, piece: () => number): Decoded {
  const decoder = new FrameDecoder(MAX_FRAME, names);
  const frames: unknown[][] = [];
  try {
    for (let at = 0; at < bytes.length;) {
      const space = decoder.space();
      const part = bytes.subarray(at, at + Math.min(piece(), space.length));
      if (part.length === 0) throw new Finding("The receive buffer has no space");
      space.set(part);
      decoder.filled(part.length);
      at += part.length;
      while (decoder.next()) frames.push(fieldsOf(decoder));
      if (decoder.bytes.length > SPARE + 2 * at) {
        throw new Finding("The receive buffer has grown beyond the bytes that have arrived");
      }
    }
  } catch (error) {
    if (error instanceof RpcError) return { frames, end: `${error.code}: ${error.message}` };
    throw error instanceof Finding ? error : new Finding(`Decoding threw ${described(error)}`);
  }
  return { frames, end: decoder.partial > 0 ? "unfinished" : "whole" };
}

/** The end without the parts that differ from case to case. */
function classOf(end: string): string {
  return end.replace(/Cannot decode frame: |, got .*|"[^"]*"/g, "").replace(/\d+/g, "N");
}

function fieldsOf(frame: FrameDecoder): unknown[] {
  const { kind, seq, bodyStart, bodyEnd } = frame;
  const fields: unknown[] = [
    kind,
    seq,
    bodyEnd - bodyStart,
    hashOf(frame.bytes.subarray(bodyStart, bodyEnd)),
  ];
  if (kind === write.Kind.Call) fields.push(frame.method, frame.timeout);
  if (kind === write.Kind.Error || kind === write.Kind.GoAway) fields.push(frame.code, frame.message);
  if (kind === write.Kind.Credit) fields.push(frame.items, frame.creditBytes);
  if (kind <= write.Kind.Error && frame.metadata !== undefined) {
    for (const [name, value] of frame.metadata) fields.push(name, String(value));
  }
  return fields;
}

function compare(inOnePiece: Decoded, split: Decoded, how: string): void {
  if (inOnePiece.end !== split.end) {
    throw new Finding(`Ends with "${inOnePiece.end}" in one piece, "${split.end}" in ${how}`);
  }
  let same = inOnePiece.frames.length === split.frames.length;
  for (let i = 0; same && i < inOnePiece.frames.length; i++) {
    const [a, b] = [inOnePiece.frames[i]!, split.frames[i]!];
    same = a.length === b.length && a.every((field, at) => Object.is(field, b[at]));
  }
  if (!same) throw new Finding(`Decodes to other frames in ${how} than in one piece`);
}

/** A few frames as a peer would send them. */
function randomStream(random: Random): Uint8Array {
  const out = new ByteBuffer();
  for (let remaining = 1 + random.below(4); remaining > 0; remaining--) randomFrame(random, out);
  return out.written().slice();
}

function randomFrame(random: Random, out: ByteBuffer): void {
  const start = out.length;
  const seq = random.pick([1, 2, 3, 23, 24, 255, 65_536, 2 ** 32, 2 ** 53 - 1]);
  const metadata = random.below(4) > 0 ? undefined : new Map<string, string | Uint8Array>([
    ["traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
    ["x-bin", Uint8Array.of(1, 2, 3)],
  ]);
  switch (random.below(8)) {
    case 0:
    case 1:
      write.beginCall(
        out,
        seq,
        random.pick(["Echo.echo", "a.b", randomText(random)]),
        random.below(9_999),
        metadata,
      );
      break;
    case 2:
      write.beginReply(out, seq, metadata);
      break;
    case 3:
      write.beginError(out, seq, random.pick(["internal", "unavailable", "?"]), randomText(random), metadata);
      break;
    case 4:
      write.beginItem(out, seq);
      break;
    case 5:
      return write.writeShort(out, random.pick([5, 6, 8, 9]), seq);
    case 6:
      return write.writeCredit(out, seq, random.below(1_024), random.below(2 ** 20));
    default:
      return write.writeGoAway(out, seq, "unavailable", randomText(random));
  }
  out.append(new Uint8Array(random.pick([0, 1, 5, 40, 600])).fill(random.below(256)));
  write.endFrame(out, start);
}
