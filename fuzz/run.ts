// Runs cases of one target until its time is over or a case fails.

import { Random } from "../tests/support/cbor_random.ts";
import { described, Finding, type Target } from "./target.ts";

/** Cases between two checks of the clock. */
const BATCH = 256;
/** Maximum duration of a batch of small cases, in ms; generous, because the machine may be busy. */
const BATCH_TIME = 2_000;
/** Maximum duration of a case over a connection, in ms. */
const CASE_TIME = 15_000;

/** The results of a target. */
export interface Report {
  readonly target: string;
  readonly cases: number;
  readonly seconds: number;
  /** Resident memory in bytes after a quarter of the time, and in the end. */
  readonly memory: readonly [number, number];
  /** How often each outcome occurred. */
  readonly outcomes: ReadonlyMap<string, number>;
  /** The case that found a fault, and the fault. */
  readonly finding?: { readonly message: string; readonly bytes: Uint8Array };
}

/** Runs a target for a number of seconds, or of cases. */
export async function fuzz(
  target: Target,
  seed: number,
  seconds: number,
  maxCases = Infinity,
): Promise<Report> {
  const outcomes = new Map<string, number>();
  const startedAt = performance.now();
  const end = startedAt + seconds * 1_000;
  const random = new Random(seed);
  let cases = 0;
  let warmedUp = 0;
  let finding: Report["finding"];
  const count = (outcome: string) => {
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    if ((++cases & 1_023) === 0 && warmedUp === 0 && performance.now() - startedAt > seconds * 250) {
      warmedUp = Deno.memoryUsage().rss;
    }
  };
  const failed = (error: unknown, bytes: Uint8Array) => {
    finding ??= {
      message: error instanceof Finding ? error.message : described(error),
      bytes: bytes.slice(),
    };
  };
  const running = () => finding === undefined && cases < maxCases && performance.now() < end;

  const runConcurrently = async () => {
    while (running()) {
      const bytes = target.next(random).slice();
      try {
        count(await runWithTimeout(target, bytes));
      } catch (error) {
        failed(error, bytes);
      }
    }
  };
  const runSequentially = async () => {
    for (let from = startedAt; running();) {
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
  if (target.concurrency === 1) await runSequentially();
  else await Promise.all(Array.from({ length: target.concurrency }, runConcurrently));
  await target.finish?.().catch((error) => failed(error, new Uint8Array(0)));
  const elapsed = (performance.now() - startedAt) / 1_000;
  const { rss } = Deno.memoryUsage();
  return { target: target.name, cases, seconds: elapsed, memory: [warmedUp || rss, rss], outcomes, finding };
}

/** Runs a case. Exceeding the time limit is a finding. */
export async function runWithTimeout(target: Target, bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const timeout = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => timeout.reject(new Finding(`The case did not end within ${CASE_TIME} ms`)),
    CASE_TIME,
  );
  try {
    return await Promise.race([target.check(bytes), timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}
