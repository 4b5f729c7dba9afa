// The load generator of `bench`, closed or open loop, and its measurements.

import { setImmediate } from "node:timers";
import { type Code, RpcError } from "../call/error.ts";
import { Latency } from "../call/latency.ts";

/** Percentiles are accurate to 1.1 %. */
const PER_OCTAVE = 64;
/** Timers may fire up to 2 ms late: shorter waits poll the clock instead. */
const TIMER_DELAY = 2;
/** Longest wait before checking whether the measurement has ended, in ms. */
const MAX_WAIT = 100;

/** Makes one call; rejects if it fails. */
export type MakeCall = () => Promise<unknown>;

/** A call in flight. */
interface InFlightCall {
  /** When it was due, on the clock of `performance.now()`. */
  readonly dueAt: number;
}

/** Calls that were unanswered at the end. Ages in ms, since they were due. */
export interface Unanswered {
  readonly count: number;
  readonly meanAge: number;
  readonly maxAge: number;
}

/** Outcomes of the calls. */
export class CallOutcome {
  /** Latencies of the successful calls, in ms. */
  readonly latency = new Latency(PER_OCTAVE);
  readonly errors = new Map<Code, { count: number; message: string }>();
  readonly #startedAt = performance.now();
  readonly #inFlight = new Set<InFlightCall>();
  #ended: number | undefined;
  #unanswered: Unanswered = { count: 0, meanAge: 0, maxAge: 0 };

  /** Duration of the measurement so far, in seconds. */
  get seconds(): number {
    return ((this.#ended ?? performance.now()) - this.#startedAt) / 1_000;
  }

  get failed(): number {
    return [...this.errors.values()].reduce((sum, { count }) => sum + count, 0);
  }

  /** Completed calls, successful or failed. */
  get calls(): number {
    return this.latency.count + this.failed;
  }

  /** Whether the measurement has ended: calls that complete later are not counted. */
  get ended(): boolean {
    return this.#ended !== undefined;
  }

  /** Calls in flight. */
  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** Calls that were unanswered at the end. */
  get unanswered(): Unanswered {
    return this.#unanswered;
  }

  /**
   * Makes a call and records its outcome.
   *
   * @param dueAt When it was due: its latency counts from then
   */
  async measure(make: MakeCall, dueAt: number): Promise<void> {
    const call = { dueAt };
    this.#inFlight.add(call);
    try {
      await make();
      if (!this.ended) this.latency.record(performance.now() - dueAt, 1);
    } catch (error) {
      if (!(error instanceof RpcError)) throw error;
      if (!this.ended) this.#fail(error);
    } finally {
      this.#inFlight.delete(call);
    }
  }

  /**
   * Ends the measurement.
   *
   * @param unmade The due times of calls that were not made
   */
  end(unmade: Iterable<number> = []): void {
    const now = this.#ended = performance.now();
    let count = 0;
    let sum = 0;
    let maxAge = 0;
    const add = (dueAt: number) => {
      count++;
      sum += now - dueAt;
      maxAge = Math.max(maxAge, now - dueAt);
    };
    for (const { dueAt } of this.#inFlight) add(dueAt);
    for (const dueAt of unmade) add(dueAt);
    this.#unanswered = { count, meanAge: count === 0 ? 0 : sum / count, maxAge };
  }

  #fail({ code, message }: RpcError): void {
    const known = this.errors.get(code);
    if (known === undefined) this.errors.set(code, { count: 1, message });
    else known.count++;
  }
}

/** One caller, which makes sequential calls until the measurement ends. */
export async function closedLoop(outcome: CallOutcome, make: MakeCall): Promise<void> {
  while (!outcome.ended) await outcome.measure(make, performance.now());
}

/** Calls that are due at a fixed rate, whether or not earlier ones are answered. */
export class OpenLoop {
  readonly #outcome: CallOutcome;
  /** ms between two calls. */
  readonly #interval: number;
  readonly #maxInFlight: number;
  readonly #startedAt = performance.now();
  #made = 0;
  #latest = 0;

  /**
   * @param rate Calls per second
   * @param maxInFlight Maximum calls in flight; calls that are due meanwhile start late, and their latency counts
   * from when they were due
   */
  constructor(outcome: CallOutcome, rate: number, maxInFlight: number) {
    this.#outcome = outcome;
    this.#interval = 1_000 / rate;
    this.#maxInFlight = maxInFlight;
  }

  /** The longest delay of a call's start, in ms. */
  get latest(): number {
    return this.#latest;
  }

  /** The due times of the calls that have not been made. */
  *unmade(): Generator<number> {
    const now = performance.now();
    for (let call = this.#made; this.#dueAt(call) <= now; call++) yield this.#dueAt(call);
  }

  /** Makes calls until the measurement ends, then waits for those in flight. */
  async run(make: MakeCall): Promise<void> {
    const calls = new Set<Promise<void>>();
    let failure: { error: unknown } | undefined;
    while (!this.#outcome.ended && failure === undefined) {
      const now = performance.now();
      for (; this.#dueAt(this.#made) <= now && this.#outcome.inFlight < this.#maxInFlight; this.#made++) {
        const due = this.#dueAt(this.#made);
        this.#latest = Math.max(this.#latest, now - due);
        const call: Promise<void> = this.#outcome.measure(make, due)
          .catch((error) => void (failure ??= { error }))
          .finally(() => calls.delete(call));
        calls.add(call);
      }
      await this.#waitForNext();
    }
    await Promise.all(calls);
    if (failure !== undefined) throw failure.error;
  }

  #dueAt(call: number): number {
    return this.#startedAt + call * this.#interval;
  }

  /** Waits until the next call is due, or there may be a free slot. */
  async #waitForNext(): Promise<void> {
    const full = this.#outcome.inFlight >= this.#maxInFlight;
    const wait = full ? 1 : Math.min(this.#dueAt(this.#made) - performance.now() - TIMER_DELAY, MAX_WAIT);
    await new Promise((resolve) => wait > 0 ? setTimeout(resolve, wait) : setImmediate(resolve));
  }
}
