// Simulated time: while it lasts, the global timers and clocks stand still until they are told to go on. Replacing the
// globals, and not handing a clock to everything that waits, keeps the library as it is (a call asks for the time by
// the shortest way there is) and reaches users' own code, which uses timers too.

import { AsyncLocalStorage } from "node:async_hooks";
import { setImmediate } from "node:timers";
import { clocks } from "./clocks.ts";
import { Replaced } from "./globals.ts";
import { type SimTimer, Timers } from "./timers.ts";

/** Options of {@linkcode SimTime}. */
export interface SimTimeOptions {
  /**
   * What `Date.now()` begins with: ms since 1970, or a Date.
   *
   * @default {Date.UTC(2026, 0, 1)}
   */
  start?: number | Date;
}

/** Options of {@linkcode SimTime.until}. */
export interface UntilOptions {
  /**
   * How much simulated time may pass, in ms, 0 or more.
   *
   * @default {3_600_000}
   */
  limit?: number;
}

const DEFAULT_LIMIT = 3_600_000;
/** How many timers may ring without time getting on: whoever sets 0 ms again and again would stop it for good. */
const MOST_AT_ONCE = 100_000;
/** How long something outside of simulated time is waited for when no timer is set, in real ms. */
const REAL_PATIENCE = 1_000;
/** The longest delay that timers take. */
const MAX_DELAY = 2 ** 31 - 1;
/** What replaced timers are known by, so that two simulations in one process are noticed. */
const SIMULATED = Symbol.for("@troodon/rpc/testing simulated time");

/**
 * Time that passes only when it is told to. From construction to disposal it takes the place of `setTimeout`,
 * `setInterval`, `clearTimeout`, `clearInterval`, `AbortSignal.timeout`, `Date`, `Temporal.Now` and, of `performance`,
 * `now`, `timeOrigin`, `mark` and `measure`, in the whole process: there can be one at a time. What was made before it
 * began should not be used while it lasts.
 *
 * Timers ring in order, and between two of them everything that needs no time gets done, as in a real event loop. What
 * is outside of it, such as sockets, files and the timers of npm packages, goes on in real time and is not waited for.
 *
 * @example A minute in no time
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
  /** How many timers have rung since time got on. */
  #atOnce = 0;
  /** What a timer's callback has thrown. */
  #thrown: { error: unknown } | undefined;

  /**
   * Stops time.
   *
   * @param options What the date is
   * @throws {TypeError} If time is simulated already, or `start` is no date
   */
  constructor(options: SimTimeOptions = {}) {
    const start = Number(options.start ?? Date.UTC(2026, 0, 1));
    if (!Number.isFinite(start)) throw new TypeError("Cannot use start: expected ms since 1970, or a Date");
    if (SIMULATED in setTimeout) throw new TypeError("Cannot simulate time: it is simulated already");
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

  /** How much simulated time has passed, in ms. */
  get now(): number {
    return this.#now;
  }

  /** How many timers are set: 0 once nothing waits for time any more. */
  get timers(): number {
    return this.#timers.size;
  }

  /**
   * Lets time pass.
   *
   * @param ms How much, 0 or more
   * @throws {RangeError} If that is no duration
   * @throws {TypeError} If time passes already
   * @throws What a timer's callback throws
   */
  async tick(ms: number): Promise<void> {
    if (!(ms >= 0 && ms < Infinity)) throw new RangeError(`Cannot let ${ms} ms pass: expected 0 or more`);
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
   * Lets time pass until a promise is settled, and not a moment longer.
   *
   * @typeParam T What it resolves with
   * @param promise What to wait for
   * @param options How long
   * @returns What it resolves with
   * @throws What it rejects with, and what a timer's callback throws
   * @throws {Error} If it is not settled in time, or nothing is left that it could wait for
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

  /** Puts the real time back. Timers that are still set never ring. Doing it twice is fine. */
  [Symbol.dispose](): void {
    this.#replaced[Symbol.dispose]();
  }

  /** Runs what lets time pass; two at once would pull it from each other's hands. */
  async #run(pass: () => Promise<void>): Promise<void> {
    if (this.#running) throw new TypeError("Cannot let time pass: it passes already; wait with setTimeout");
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
    else if (++this.#atOnce > MOST_AT_ONCE) {
      throw new Error(`Time stands still: ${MOST_AT_ONCE} timers of 0 ms set one another`);
    }
    this.#now = Math.max(this.#now, timer.at);
    this.#timers.advance(timer);
    timer.ring();
    await turn();
    const thrown = this.#thrown;
    this.#thrown = undefined;
    if (thrown !== undefined) throw thrown.error;
  }

  /** Waits for what does not take simulated time, such as a file that is read. */
  async #outside(done: () => boolean): Promise<void> {
    const end = this.#real.now() + REAL_PATIENCE;
    while (!done()) {
      if (this.#real.now() > end) throw new Error("Nothing is left to wait for: no timer is set");
      await new Promise((resolve) => this.#real.setTimeout(resolve, 1));
    }
  }

  #set(callback: unknown, delay: unknown, args: unknown[], repeat: boolean): SimTimer {
    if (typeof callback !== "function") {
      throw new TypeError(`Cannot set a timer: expected a function, got ${typeof callback}`);
    }
    // As in a real event loop, a callback runs in the asynchronous context in which its timer was set.
    const inContext = AsyncLocalStorage.snapshot();
    // Real timers take whole ms, and what is too long for them at once.
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
    // One that was set before time was stopped.
    if (!this.#timers.remove(timer)) real(timer as number);
  }
}

/** Lets everything get done that needs no time: one turn of the real event loop. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** `AbortSignal.timeout` by the timers that are in force. */
function abortAfter(ms: number): AbortSignal {
  const controller = new AbortController();
  setTimeout(() => controller.abort(new DOMException("Signal timed out.", "TimeoutError")), ms);
  return controller.signal;
}
