// Simulated time: replaces the global timers and clocks with ones that a test advances. Replacing globals, instead of passing a
// clock to everything that waits, leaves the library unchanged (a call reads the time in the cheapest way) and also covers
// users' own code, which uses timers too.

import { AsyncLocalStorage } from "node:async_hooks";
import { setImmediate } from "node:timers";
import { clocks } from "./clocks.ts";
import { Replaced } from "./globals.ts";
import { type SimTimer, Timers } from "./timers.ts";

/** Options of {@linkcode SimTime}. */
export interface SimTimeOptions {
  /**
   * Initial value of `Date.now()`: ms since 1970, or a Date.
   *
   * @default {Date.UTC(2026, 0, 1)}
   */
  start?: number | Date;
}

/** Options of {@linkcode SimTime.until}. */
export interface UntilOptions {
  /**
   * Maximum simulated time that may pass, in ms, from 0.
   *
   * @default {3_600_000}
   */
  limit?: number;
}

const DEFAULT_LIMIT = 3_600_000;
/** Maximum number of timers that fire without time advancing; without it a chain of 0 ms timers would never end. */
const MAX_AT_ONCE = 100_000;
/** Maximum time to wait for something outside of simulated time when no timer is set, in real ms. */
const REAL_TIMEOUT = 1_000;
/** Maximum delay of a timer, in ms. */
const MAX_DELAY = 2 ** 31 - 1;
/** Marks the replaced timers, so that a second simulation in the process is detected. */
const SIMULATED = Symbol.for("@troodon/rpc/testing simulated time");

/**
 * Simulated time, which a test advances. From construction to disposal it replaces `setTimeout`, `setInterval`, `clearTimeout`,
 * `clearInterval`, `AbortSignal.timeout`, `Date`, `Temporal.Now` and, of `performance`, `now`, `timeOrigin`, `mark` and
 * `measure`, in the whole process, so only one can exist at a time. Do not use objects that were created before it.
 *
 * Timers fire in order, and pending microtasks and I/O callbacks run between any two, as in a real event loop. Anything
 * outside, such as sockets, files and the timers of npm packages, runs in real time and is not waited for.
 *
 * @example A simulated minute
 * ```ts
 * import { SimTime } from "@troodon/rpc/testing";
 * import { assertEquals } from "@std/assert";
 *
 * using time = new SimTime();
 * const rung: string[] = [];
 * setTimeout(() => rung.push("after a minute"), 60_000);
 * await time.tick(59_999);
 * assertEquals(rung, []);
 * await time.tick(1);
 * assertEquals(rung, ["after a minute"]);
 * ```
 */
export class SimTime implements Disposable {
  readonly #timers = new Timers();
  readonly #real = { setTimeout, clearTimeout, clearInterval, now: performance.now.bind(performance) };
  readonly #replaced: Replaced;
  #now = 0;
  #running = false;
  /** Number of timers that have fired since time last advanced. */
  #atOnce = 0;
  /** An exception of a timer's callback. */
  #thrown: { error: unknown } | undefined;

  /**
   * Starts simulating time, which does not advance by itself.
   *
   * @param options The initial date
   * @throws {TypeError} If time is already simulated, or `start` is not a date
   */
  constructor(options: SimTimeOptions = {}) {
    const start = Number(options.start ?? Date.UTC(2026, 0, 1));
    if (!Number.isFinite(start)) throw new TypeError("Cannot use start: expected ms since 1970, or a Date");
    if (SIMULATED in setTimeout) throw new TypeError("Cannot simulate time: it is already simulated");
    const set = (repeat: boolean) => (callback: unknown, delay?: unknown, ...args: unknown[]) =>
      this.#set(callback, delay, args, repeat);
    this.#replaced = new Replaced([
      [globalThis, "setTimeout", Object.assign(set(false), { [SIMULATED]: true })],
      [globalThis, "setInterval", set(true)],
      [globalThis, "clearTimeout", (timer: unknown) => this.#clear(timer, this.#real.clearTimeout)],
      [globalThis, "clearInterval", (timer: unknown) => this.#clear(timer, this.#real.clearInterval)],
      [AbortSignal, "timeout", abortAfter],
      ...clocks(start, () => this.#now),
    ]);
  }

  /** The simulated time that has passed, in ms. */
  get now(): number {
    return this.#now;
  }

  /** Number of pending timers: 0 when nothing waits for time anymore. */
  get timers(): number {
    return this.#timers.size;
  }

  /**
   * Advances time and fires the timers that are due.
   *
   * @param ms The time, in ms, finite and from 0
   * @throws {RangeError} If `ms` is out of its range
   * @throws {TypeError} If time is already being advanced
   * @throws What a timer's callback throws
   */
  async tick(ms: number): Promise<void> {
    if (!(ms >= 0 && ms < Infinity)) {
      throw new RangeError(`Cannot advance time by ${ms} ms: expected 0 or more`);
    }
    const end = this.#now + ms;
    await this.#run(async () => {
      for (
        let timer = this.#timers.first;
        timer !== undefined && timer.at <= end;
        timer = this.#timers.first
      ) {
        await this.#ring(timer);
      }
      this.#now = end;
    });
  }

  /**
   * Advances time until a promise has settled, and no further.
   *
   * @typeParam T The type that the promise resolves with
   * @param promise The promise to wait for
   * @param options The limit
   * @returns The value of the promise
   * @throws The reason of the promise, and what a timer's callback throws
   * @throws {Error} If the promise has not settled within the limit, or nothing is left that it could wait for
   */
  async until<T>(promise: Promise<T>, options: UntilOptions = {}): Promise<T> {
    const { limit = DEFAULT_LIMIT } = options;
    const end = this.#now + limit;
    let settled = false;
    const settle = () => void (settled = true);
    promise.then(settle, settle);
    await this.#run(async () => {
      while (!settled) {
        const timer = this.#timers.first;
        if (timer === undefined) await this.#outside(() => settled || this.#timers.size > 0);
        else if (timer.at <= end) await this.#ring(timer);
        else throw new Error(`Not settled within ${limit} ms of simulated time`);
      }
    });
    return await promise;
  }

  /** Restores real time. Pending timers never fire. Repeated calls have no effect. */
  [Symbol.dispose](): void {
    this.#replaced[Symbol.dispose]();
  }

  /** Runs a function that advances time. Two at once would interfere with each other. */
  async #run(pass: () => Promise<void>): Promise<void> {
    if (this.#running) {
      throw new TypeError("Cannot advance time: it is already being advanced; wait with setTimeout");
    }
    this.#running = true;
    try {
      await turn();
      await pass();
    } finally {
      this.#running = false;
    }
  }

  async #ring(timer: SimTimer): Promise<void> {
    if (timer.at > this.#now) this.#atOnce = 0;
    else if (++this.#atOnce > MAX_AT_ONCE) {
      throw new Error(`Time does not advance: ${MAX_AT_ONCE} timers of 0 ms started each other`);
    }
    this.#now = Math.max(this.#now, timer.at);
    this.#timers.advance(timer);
    timer.ring();
    await turn();
    const thrown = this.#thrown;
    this.#thrown = undefined;
    if (thrown !== undefined) throw thrown.error;
  }

  /** Waits in real time for something that takes no simulated time, such as reading a file. */
  async #outside(done: () => boolean): Promise<void> {
    const end = this.#real.now() + REAL_TIMEOUT;
    while (!done()) {
      if (this.#real.now() > end) throw new Error("Nothing is left to wait for: no timer is pending");
      await new Promise((resolve) => this.#real.setTimeout(resolve, 1));
    }
  }

  #set(callback: unknown, delay: unknown, args: unknown[], repeat: boolean): SimTimer {
    if (typeof callback !== "function") {
      throw new TypeError(`Cannot set a timer: expected a function, got ${typeof callback}`);
    }
    // As in a real event loop, a callback runs in the asynchronous context in which its timer was set.
    const inContext = AsyncLocalStorage.snapshot();
    // Real timers round down to whole ms, and fire at once if the delay is too long.
    const ms = Math.trunc(Number(delay));
    const wait = ms > 0 && ms <= MAX_DELAY ? ms : 0;
    return this.#timers.add(this.#now + wait, repeat ? Math.max(wait, 1) : undefined, () => {
      try {
        inContext(() => callback(...args));
      } catch (error) {
        this.#thrown ??= { error };
      }
    });
  }

  #clear(timer: unknown, real: (id: number) => void): void {
    if (timer === undefined || timer === null) return;
    // A timer that was set before the simulation started.
    if (!this.#timers.remove(timer)) real(timer as number);
  }
}

/** Waits for one turn of the real event loop, in which everything that needs no time runs. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** `AbortSignal.timeout` with the replaced timers. */
function abortAfter(ms: number): AbortSignal {
  const controller = new AbortController();
  setTimeout(() => controller.abort(new DOMException("Signal timed out.", "TimeoutError")), ms);
  return controller.signal;
}
