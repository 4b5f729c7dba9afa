// Fuzzes the handshake lines: both parsers must reject with an RpcError that echoes little of the input, and
// a line must be the same however it arrives.

import { RpcError } from "../call/error.ts";
import {
  decodeAnswer,
  decodeOption,
  encodeAnswer,
  encodeOption,
  encodeRefusal,
  MAX_LINE_BYTES,
} from "../codec/handshake_line.ts";
import { Random, randomText } from "../tests/support/cbor_random.ts";
import type { Conn } from "../transport/conn.ts";
import { LineReader } from "../transport/line_reader.ts";
import { Mutator } from "./mutate.ts";
import { described, Finding, hashOf, type Target } from "./target.ts";

const CORPUS = 300;
const CBOR = "application/cbor";
/** Maximum length of an error: the fixed text and at most 64 bytes of the peer's. */
const MAX_ERROR_LENGTH = 240;

const decoder = new TextDecoder();

/** Creates the target. */
export function handshakeTarget(random: Random): Target {
  const mutator = new Mutator(Array.from({ length: CORPUS }, () => randomLine(random)));
  return {
    name: "handshake",
    concurrency: 1,
    next: (random) => mutator.next(random),
    async check(bytes) {
      const inOnePiece = await lineOf(bytes, () => bytes.length);
      const pieces = new Random(hashOf(bytes));
      const split = await lineOf(bytes, () => 1 + pieces.below(60));
      if (inOnePiece !== split) {
        throw new Finding(`The line is ${inOnePiece} in one piece, ${split} in several`);
      }
      const end = bytes.indexOf(10);
      const line = end < 0 ? bytes : bytes.subarray(0, end);
      const option = outcomeOf(() => decodeOption(line), false);
      const answer = outcomeOf(() => decodeAnswer(line, CBOR), true);
      return `${inOnePiece.split(" ", 1)[0]}, as option ${option}, as answer ${answer}`;
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function outcomeOf(read: () => unknown, mayQuote: boolean): string {
  try {
    read();
    return "accepted";
  } catch (error) {
    if (!(error instanceof RpcError)) throw new Finding(`Reading a line threw ${described(error)}`);
    if (error.message.length > MAX_ERROR_LENGTH && !(mayQuote && error.remote)) {
      throw new Finding(`The error echoes too much: ${error.message}`);
    }
    return error.code;
  }
}

/** The result of reading a line from bytes that arrive piece by piece, then end. */
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
