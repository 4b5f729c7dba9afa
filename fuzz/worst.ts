// Measures how long the worst known messages of maximum size, and the worst headers, block their decoder, and
// with it the event loop.

import { cpuUsage } from "node:process";
import { CborCodec } from "../codec/cbor.ts";
import { CborError } from "../codec/cbor_error.ts";
import { FrameDecoder } from "../codec/frame_decoder.ts";
import { JsonCodec } from "../codec/json.ts";
import { KeyCache } from "../codec/key_cache.ts";
import { decodeOption } from "../codec/handshake_line.ts";
import { SIZE } from "./worst_cbor.ts";
import { type Reader, SHAPES } from "./worst_shapes.ts";

/** Documented maximum duration on an idle machine, in ms. */
const DOCUMENTED_MAX = 50;
/** Durations above this, in ms, are a fault on any machine: quadratic work takes seconds. */
const HARD_LIMIT = 250;
const ROUNDS = 7;

/** The result of one shape. */
export interface Worst {
  readonly reader: Reader;
  readonly name: string;
  /** Length in bytes. */
  readonly bytes: number;
  /** The fastest of seven runs, in ms, without the time in which other processes had the processor. */
  readonly ms: number;
  /** Whether it was decoded, or the error code. */
  readonly outcome: string;
}

/** Decodes every shape. */
function* measureWorst(): Generator<Worst> {
  const [cbor, json, names] = [new CborCodec(), new JsonCodec(), new KeyCache()];
  const readers: Record<Reader, (bytes: Uint8Array) => unknown> = {
    cbor: (bytes) => cbor.decode(bytes, 0, bytes.length),
    json: (bytes) => json.decode(bytes, 0, bytes.length),
    frame: (bytes) => new FrameDecoder(SIZE, names, bytes).next(),
    line: decodeOption,
  };
  for (const { name, reader, make } of SHAPES) {
    const bytes = make();
    let outcome = "";
    const times = Array.from({ length: ROUNDS }, () => {
      const [startedAt, used] = [performance.now(), cpuUsage()];
      outcome = read(readers[reader], bytes);
      const { user, system } = cpuUsage(used);
      return Math.min(performance.now() - startedAt, (user + system) / 1_000);
    });
    yield { reader, name, bytes: bytes.length, ms: Math.min(...times), outcome };
  }
}

function read(reader: (bytes: Uint8Array) => unknown, bytes: Uint8Array): string {
  try {
    const value = reader(bytes);
    // Access the string: V8 may flatten a concatenated one only when it is read.
    return typeof value === "string" && value.charCodeAt(value.length - 1) < 0 ? "" : "decoded";
  } catch (error) {
    return error instanceof CborError ? error.code : "rejected";
  }
}

/** Prints a line for each shape. Returns whether all are within the limit. */
export function worst(print: (line: string) => void): boolean {
  let passed = true;
  let slowest = 0;
  for (const { reader, name, bytes, ms, outcome } of measureWorst()) {
    if (ms > HARD_LIMIT) passed = false;
    const mark = ms > HARD_LIMIT ? "FAULT" : ms > DOCUMENTED_MAX ? "slow " : "     ";
    slowest = Math.max(slowest, ms);
    const size = `${(bytes / 1_048_576).toFixed(1)} MiB`;
    print(
      `  ${ms.toFixed(1).padStart(8)} ms ${mark} ${reader} ${size}, ${outcome}: ${name}`,
    );
  }
  print(`worst: ${slowest.toFixed(1)} ms, the documented maximum is ${DOCUMENTED_MAX} ms`);
  return passed;
}
