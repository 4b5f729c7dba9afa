// How long the worst message of the longest frame's size, or the worst head, keeps its reader busy, and with it
// everybody else.

import { cpuUsage } from "node:process";
import { CborCodec } from "../codec/cbor.ts";
import { CborError } from "../codec/cbor_error.ts";
import { FrameDecoder } from "../codec/frame_decoder.ts";
import { JsonCodec } from "../codec/json.ts";
import { KeyCache } from "../codec/key_cache.ts";
import { decodeOption } from "../codec/option.ts";
import { SIZE } from "./worst_cbor.ts";
import { type Reader, SHAPES } from "./worst_shapes.ts";

/** No message takes longer than this on a machine that is not busy, in ms. */
const PROMISE = 50;
/** What takes longer than this, in ms, is wrong on any machine: work that grows with the square takes seconds. */
const ALLOWED = 250;
const ROUNDS = 7;

/** What came of one shape. */
export interface Worst {
  readonly reader: Reader;
  readonly name: string;
  /** Length in bytes. */
  readonly bytes: number;
  /** The fastest of seven, in ms, the time taken off in which other processes had the processor. */
  readonly ms: number;
  /** Whether it was decoded, or why not. */
  readonly outcome: string;
}

/** Decodes every shape. */
export function* measureWorst(): Generator<Worst> {
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
      const [began, used] = [performance.now(), cpuUsage()];
      outcome = read(readers[reader], bytes);
      const { user, system } = cpuUsage(used);
      return Math.min(performance.now() - began, (user + system) / 1_000);
    });
    yield { reader, name, bytes: bytes.length, ms: Math.min(...times), outcome };
  }
}

function read(reader: (bytes: Uint8Array) => unknown, bytes: Uint8Array): string {
  try {
    const value = reader(bytes);
    // What was put together from chunks may be flattened only when it is looked at.
    return typeof value === "string" && value.charCodeAt(value.length - 1) < 0 ? "" : "decoded";
  } catch (error) {
    return error instanceof CborError ? error.code : "refused";
  }
}

/** Prints a line for each shape; returns whether all took as long as they may. */
export function worst(print: (line: string) => void): boolean {
  let kept = true;
  let most = 0;
  for (const { reader, name, bytes, ms, outcome } of measureWorst()) {
    if (ms > ALLOWED) kept = false;
    const mark = ms > ALLOWED ? "FOUND" : ms > PROMISE ? "slow " : "     ";
    most = Math.max(most, ms);
    const size = `${(bytes / 1_048_576).toFixed(1)} MiB`;
    print(
      `  ${ms.toFixed(1).padStart(8)} ms ${mark} ${reader} ${size}, ${outcome}: ${name}`,
    );
  }
  print(`worst: ${most.toFixed(1)} ms, promised are ${PROMISE} ms`);
  return kept;
}
