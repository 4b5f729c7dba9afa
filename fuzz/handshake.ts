// The handshake's lines: both readers refuse with an RpcError that echoes next to nothing, and a line is the same
// line however it arrives.

import { RpcError } from "../call/error.ts";
import {
  decodeAnswer,
  decodeOption,
  encodeAnswer,
  encodeOption,
  encodeRefusal,
  MAX_LINE_BYTES,
} from "../codec/option.ts";
import { Random, randomText } from "../tests/support/cbor_random.ts";
import type { Conn } from "../transport/conn.ts";
import { LineReader } from "../transport/line_reader.ts";
import { Mutator } from "./mutate.ts";
import { described, Finding, hashOf, type Target } from "./target.ts";

const CORPUS = 300;
const CBOR = "application/cbor";
/** Words of ours, and at most 64 bytes of the peer's. */
const LONGEST_ERROR = 240;

const decoder = new TextDecoder();

/** Makes the target. */
export function handshakeTarget(random: Random): Target {
  const mutator = new Mutator(Array.from({ length: CORPUS }, () => randomLine(random)));
  return {
    name: "handshake",
    atOnce: 1,
    next: (random) => mutator.next(random),
    async check(bytes) {
      const whole = await lineOf(bytes, () => bytes.length);
      const pieces = new Random(hashOf(bytes));
      const split = await lineOf(bytes, () => 1 + pieces.below(60));
      if (whole !== split) throw new Finding(`The line is ${whole} as a whole, ${split} in pieces`);
      const end = bytes.indexOf(10);
      const line = end < 0 ? bytes : bytes.subarray(0, end);
      const option = outcomeOf(() => decodeOption(line), false);
      const answer = outcomeOf(() => decodeAnswer(line, CBOR), true);
      return `${whole.split(" ", 1)[0]}, as option ${option}, as answer ${answer}`;
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function outcomeOf(read: () => unknown, mayQuote: boolean): string {
  try {
    read();
    return "taken";
  } catch (error) {
    if (!(error instanceof RpcError)) throw new Finding(`Reading a line threw ${described(error)}`);
    if (error.message.length > LONGEST_ERROR && !(mayQuote && error.remote)) {
      throw new Finding(`The error echoes too much: ${error.message}`);
    }
    return error.code;
  }
}

/** What a line reader makes of bytes that arrive piece by piece, and then end. */
async function lineOf(bytes: Uint8Array, piece: () => number): Promise<string> {
  let at = 0;
  const conn: Conn = {
    peer: "fuzz",
    read(into) {
      if (at === bytes.length) return Promise.resolve(null);
      const part = bytes.subarray(at, at + Math.min(piece(), into.length));
      into.set(part);
      at += part.length;
      return Promise.resolve(part.length);
    },
    write: (from) => Promise.resolve(from.length),
    closeWrite: () => Promise.resolve(),
    close() {},
  };
  try {
    const line = await new LineReader(conn).line(MAX_LINE_BYTES);
    return line === null ? "nothing" : `line of ${line.length}: ${decoder.decode(line)}`;
  } catch (error) {
    if (error instanceof RangeError) return "too-long";
    if (error instanceof Error && error.constructor === Error) return "unfinished";
    throw new Finding(`Reading a line threw ${described(error)}`);
  }
}

function randomLine(random: Random): Uint8Array {
  const codecType = random.pick([CBOR, "application/json", randomText(random)]);
  switch (random.below(3)) {
    case 0:
      return encodeOption({
        codecType,
        connectTimeout: random.below(60_000),
        handleTimeout: random.below(60_000),
        maxFrameBytes: 256 + random.below(2 ** 31),
        token: random.pick([undefined, "secret", randomText(random)]),
      });
    case 1:
      return encodeAnswer({
        codecType,
        handleTimeout: random.below(60_000),
        maxFrameBytes: 65_536 + random.below(2 ** 31),
        maxInFlight: 16 + random.below(5_000),
        heartbeatInterval: random.below(60_000),
        maxConnectionAge: random.below(2) * random.below(60_000),
        maxConnectionIdle: random.below(2) * random.below(60_000),
      });
    default:
      return encodeRefusal(new RpcError(random.pick(["unavailable", "internal"]), randomText(random)));
  }
}
