// Frames of the WebSocket protocol: however a stream is split, the same payload, control frames and fault come of it.

import { mask, Opcode, WebSocketReader, writeHead } from "../transport/websocket_frames.ts";
import { Random } from "../tests/support/cbor_random.ts";
import { Mutator } from "./mutate.ts";
import { described, Finding, hashOf, type Target } from "./target.ts";

const CORPUS = 500;
const MAX_MESSAGE = 65_536;

/** What came of a stream. */
interface Taken {
  readonly data: string;
  readonly controls: string;
  readonly end: string;
}

/** Makes the target. */
export function webSocketTarget(random: Random): Target {
  const mutator = new Mutator(Array.from({ length: CORPUS }, () => randomStream(random)));
  return {
    name: "websocket",
    concurrency: 1,
    next: (random) => mutator.next(random),
    check(bytes) {
      const pieces = new Random(hashOf(bytes));
      const masked = pieces.below(4) > 0;
      const whole = take(bytes, masked, () => bytes.length);
      const most = pieces.pick([1, 3, 40, 700]);
      const split = take(bytes, masked, () => 1 + pieces.below(most));
      for (const part of ["data", "controls", "end"] as const) {
        if (whole[part] !== split[part]) throw new Finding(`Other ${part} in pieces of up to ${most}`);
      }
      return whole.end;
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** Feeds a stream to a reader of its own, piece by piece. */
function take(bytes: Uint8Array, masked: boolean, piece: () => number): Taken {
  const controls: string[] = [];
  const reader = new WebSocketReader(masked, MAX_MESSAGE, (opcode, payload) => {
    controls.push(`${opcode} ${payload.toHex()}`);
  });
  const data: string[] = [];
  try {
    for (let at = 0; at < bytes.length;) {
      const part = bytes.slice(at, at + piece());
      const length = reader.take(part, part.length);
      if (length < 0 || length > part.length) throw new Finding("More payload than bytes");
      data.push(part.subarray(0, length).toHex());
      at += part.length;
    }
  } catch (error) {
    throw error instanceof Finding ? error : new Finding(`Taking threw ${described(error)}`);
  }
  const { fault } = reader;
  return {
    data: data.join(""),
    controls: controls.join(),
    end: fault === undefined ? "taken" : `${fault.status} ${fault.message.replace(/\d+/g, "N")}`,
  };
}

/** Some frames as a peer would send them. */
function randomStream(random: Random): Uint8Array {
  const out = new Uint8Array(4_096);
  let at = 0;
  const masked = random.below(4) > 0;
  for (let left = 1 + random.below(6); left > 0; left--) {
    const opcode = random.pick([
      Opcode.Binary,
      Opcode.Binary,
      Opcode.Continuation,
      Opcode.Ping,
      Opcode.Close,
    ]);
    const length = random.pick(opcode < Opcode.Close ? [0, 1, 5, 125, 126, 500] : [0, 2, 5]);
    const key = masked ? Uint8Array.from({ length: 4 }, () => random.below(256)) : undefined;
    const start = at;
    at = writeHead(out, at, opcode, length, key);
    if (opcode < Opcode.Close && random.below(3) === 0) out[start]! &= 127;
    out.fill(random.below(256), at, at + length);
    if (opcode === Opcode.Close && length > 1) out.set([3, 232 + random.below(16)], at);
    if (key !== undefined) mask(out, at, at + length, key, 0, 0);
    at += length;
  }
  return out.slice(0, at);
}
