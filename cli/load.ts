// The load that `bench` makes, in a closed or an open loop, and what came of it.

import { setImmediate } from "node:timers";
import { type Code, RpcError } from "../call/error.ts";
import { Latency } from "../call/latency.ts";

/** Percentiles are right to within 1.1 %. */
const PER_OCTAVE = 64;
/** Timers come up to 2 ms late: for what is due sooner the time is asked for again and again. */
const TIMER_DELAY = 2;
/** How long it takes at most until it is noticed that it is over, in ms. */
const LONGEST_REST = 100;

/** Makes one call; rejects if it fails. */
export type MakeCall = () => Promise<unknown>;

/** One call that is not answered yet. */
interface UnderWay {
  /** When it was to begin, on the clock of `performance.now()`. */
  readonly began: number;
}

/** Calls that were not answered when it was over. Ages in ms, from when they were to begin. */
export interface Unanswered {
  readonly count: number;
  readonly meanAge: number;
  readonly maxAge: number;
}

/** What came of the calls. */
export class CallOutcome {
  /** How long the calls took that went well. */
  readonly latency = new Latency(PER_OCTAVE);
  readonly errors = new Map<Code, { count: number; message: string }>();
  readonly #began = performance.now();
  readonly #underWay = new Set<UnderWay>();
  #ended: number | undefined;
  #unanswered: Unanswered = { count: 0, meanAge: 0, maxAge: 0 };

  /** For how long it went on, in s. */
  get seconds(): number {
    return ((this.#ended ?? performance.now()) - this.#began) / 1_000;
  }

  get failed(): number {
    return [...this.errors.values()].reduce((sum, { count }) => sum + count, 0);
  }

  /** Calls that ended, well or not. */
  get calls(): number {
    return this.latency.count + this.failed;
  }

  /** Whether it is over: what ends later is not counted. */
  get over(): boolean {
    return this.#ended !== undefined;
  }

  /** Calls that are not answered yet. */
  get underWay(): number {
    return this.#underWay.size;
  }

  /** Calls that were not answered in the end. */
  get unanswered(): Unanswered {
    return this.#unanswered;
  }

  /**
   * Makes a call and counts what comes of it.
   *
   * @param began When it was to begin: its time counts from then
   */
  async measure(make: MakeCall, began: number): Promise<void> {
    const call = { began };
    this.#underWay.add(call);
    try {
      await make();
      if (!this.over) this.latency.record(performance.now() - began, 1);
    } catch (error) {
      if (!(error instanceof RpcError)) throw error;
      if (!this.over) this.#fail(error);
    } finally {
      this.#underWay.delete(call);
    }
  }

  /**
   * Ends it.
   *
   * @param unmade When further calls were to begin that have not been made
   */
  end(unmade: Iterable<number> = []): void {
    const now = this.#ended = performance.now();
    let count = 0;
    let sum = 0;
    let maxAge = 0;
    const add = (began: number) => {
      count++;
      sum += now - began;
      maxAge = Math.max(maxAge, now - began);
    };
    for (const { began } of this.#underWay) add(began);
    for (const began of unmade) add(began);
    this.#unanswered = { count, meanAge: count === 0 ? 0 : sum / count, maxAge };
  }

  #fail({ code, message }: RpcError): void {
    const known = this.errors.get(code);
    if (known === undefined) this.errors.set(code, { count: 1, message });
    else known.count++;
  }
}

/** One caller, who makes one call after the other until it is over. */
export async function closedLoop(outcome: CallOutcome, make: MakeCall): Promise<void> {
  while (!outcome.over) await outcome.measure(make, performance.now());
}

/** Calls that are due at a rate, whether earlier ones are answered or not. */
export class OpenLoop {
  readonly #outcome: CallOutcome;
  /** ms between two calls. */
  readonly #interval: number;
  readonly #most: number;
  readonly #began = performance.now();
  #made = 0;
  #latest = 0;

  /**
   * @param rate Calls a second
   * @param most How many may be under way at once; those that are due meanwhile begin late, and their time counts from
   * when they were due
   */
  constructor(outcome: CallOutcome, rate: number, most: number) {
    this.#outcome = outcome;
    this.#interval = 1_000 / rate;
    this.#most = most;
  }

  /** How late a call began at most, in ms. */
  get latest(): number {
    return this.#latest;
  }

  /** When the calls were due that have not been made. */
  *unmade(): Generator<number> {
    const now = performance.now();
    for (let call = this.#made; this.#dueAt(call) <= now; call++) yield this.#dueAt(call);
  }

  /** Makes calls until it is over, and waits for the last ones. */
  async run(make: MakeCall): Promise<void> {
    const calls = new Set<Promise<void>>();
    let failure: { error: unknown } | undefined;
    while (!this.#outcome.over && failure === undefined) {
      const now = performance.now();
      for (; this.#dueAt(this.#made) <= now && this.#outcome.underWay < this.#most; this.#made++) {
        const due = this.#dueAt(this.#made);
        this.#latest = Math.max(this.#latest, now - due);
        const call: Promise<void> = this.#outcome.measure(make, due)
          .catch((error) => void (failure ??= { error }))
          .finally(() => calls.delete(call));
        calls.add(call);
      }
      await this.#rest();
    }
    await Promise.all(calls);
    if (failure !== undefined) throw failure.error;
  }

  #dueAt(call: number): number {
    return this.#began + call * this.#interval;
  }

  /** Waits until the next call is due, or there may be room for it. */
  async #rest(): Promise<void> {
    const full = this.#outcome.underWay >= this.#most;
    const wait = full ? 1 : Math.min(this.#dueAt(this.#made) - performance.now() - TIMER_DELAY, LONGEST_REST);
    await new Promise((resolve) => wait > 0 ? setTimeout(resolve, wait) : setImmediate(resolve));
  }
}
