// Runs cases of one target until its time is over or a promise is broken.

import { Random } from "../tests/support/cbor_random.ts";
import { described, Finding, type Target } from "./target.ts";

/** Cases between two looks at the clock. */
const BATCH = 256;
/** How long a batch of small cases may take at most, in ms: the machine may be busy with other things. */
const BATCH_TIME = 2_000;
/** How long one case over a connection may take, in ms. */
const CASE_TIME = 15_000;

/** What came of a target. */
export interface Report {
  readonly target: string;
  readonly cases: number;
  readonly seconds: number;
  /** Resident memory in bytes after a quarter of the time, and in the end. */
  readonly memory: readonly [number, number];
  /** How often each outcome came. */
  readonly outcomes: ReadonlyMap<string, number>;
  /** The case that broke a promise, and how. */
  readonly finding?: { readonly message: string; readonly bytes: Uint8Array };
}

/** Runs `target` for so many seconds, or so many cases. */
export async function fuzz(target: Target, seed: number, seconds: number, most = Infinity): Promise<Report> {
  const outcomes = new Map<string, number>();
  const began = performance.now();
  const end = began + seconds * 1_000;
  const random = new Random(seed);
  let cases = 0;
  let warm = 0;
  let finding: Report["finding"];
  const count = (outcome: string) => {
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    if ((++cases & 1_023) === 0 && warm === 0 && performance.now() - began > seconds * 250) {
      warm = Deno.memoryUsage().rss;
    }
  };
  const failed = (error: unknown, bytes: Uint8Array) => {
    finding ??= {
      message: error instanceof Finding ? error.message : described(error),
      bytes: bytes.slice(),
    };
  };
  const goesOn = () => finding === undefined && cases < most && performance.now() < end;

  const sideBySide = async () => {
    while (goesOn()) {
      const bytes = target.next(random).slice();
      try {
        count(await inTime(target, bytes));
      } catch (error) {
        failed(error, bytes);
      }
    }
  };
  const inTurn = async () => {
    for (let from = began; goesOn();) {
      let bytes = new Uint8Array(0);
      try {
        for (let i = 0; i < BATCH; i++) {
          bytes = target.next(random);
          const outcome = target.check(bytes);
          count(typeof outcome === "string" ? outcome : await outcome);
        }
      } catch (error) {
        failed(error, bytes);
      }
      const now = performance.now();
      if (now - from > BATCH_TIME) {
        failed(new Finding(`${BATCH} cases took ${Math.round(now - from)} ms`), bytes);
      }
      from = now;
    }
  };
  if (target.atOnce === 1) await inTurn();
  else await Promise.all(Array.from({ length: target.atOnce }, sideBySide));
  await target.finish?.().catch((error) => failed(error, new Uint8Array(0)));
  const took = (performance.now() - began) / 1_000;
  const { rss } = Deno.memoryUsage();
  return { target: target.name, cases, seconds: took, memory: [warm || rss, rss], outcomes, finding };
}

/** The outcome of a case; what takes too long to be waited for is a finding. */
export async function inTime(target: Target, bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Finding(`No end within ${CASE_TIME} ms`)), CASE_TIME);
  try {
    return await Promise.race([target.check(bytes), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
