// The path from one host to another, in one direction: its conditions, and whether it is stalled.

import { sleep, SYSTEM_CLOCK } from "../discovery/clock.ts";
import { checkDraw, draw, type RandomValue } from "./seeded_random.ts";
import type { Trace } from "./trace.ts";

/** Conditions of the path from one host to another. Times are rounded up to whole ms. */
export interface Conditions {
  /**
   * Delay of written data in ms, from 0. Drawn for each write; the data of one connection stays in order.
   *
   * @default {0}
   */
  delay?: RandomValue;
  /**
   * Time to open a connection in ms, from 0. With a range, a later dial may complete first.
   *
   * @default {the delay there and the delay back}
   */
  connectDelay?: RandomValue;
  /**
   * Bandwidth of each connection in this direction in bytes per second, greater than 0.
   *
   * @default {Infinity}
   */
  bandwidth?: number;
  /**
   * Maximum number of bytes that one write accepts, from 1. Drawn for each write; the bytes of one write also arrive together.
   *
   * @default {Infinity}
   */
  chunk?: RandomValue;
  /**
   * Maximum number of bytes of each connection that are written and not yet read, from 1. Writes beyond it wait.
   *
   * @default {65_536}
   */
  window?: number;
  /**
   * Share of connections and HTTP requests that are refused, 0 to 1.
   *
   * @default {0}
   */
  refuse?: number;
}

/**
 * Validates conditions.
 *
 * @throws {TypeError} If a condition has the wrong type
 * @throws {RangeError} If a condition is out of its range
 */
export function checkConditions(conditions: Conditions): Conditions {
  const checked: Conditions = { ...conditions };
  const { delay, connectDelay, chunk, bandwidth, window, refuse } = conditions;
  if (delay !== undefined) checked.delay = checkDraw("delay", delay, 0);
  if (connectDelay !== undefined) checked.connectDelay = checkDraw("connectDelay", connectDelay, 0);
  if (chunk !== undefined && chunk !== Infinity) checked.chunk = checkDraw("chunk", chunk, 1);
  if (bandwidth !== undefined && !(bandwidth > 0)) {
    throw new RangeError(`Cannot use bandwidth ${bandwidth}: expected more than 0 bytes per second`);
  }
  if (window !== undefined && !(window >= 1)) {
    throw new RangeError(`Cannot use window ${window}: expected at least 1 byte`);
  }
  if (refuse !== undefined && !(refuse >= 0 && refuse <= 1)) {
    throw new RangeError(`Cannot use refuse ${refuse}: expected a share from 0 to 1`);
  }
  return checked;
}

/** Waits for a stalled path to open, because it has data in flight. */
export interface PathListener {
  onOpened(): void;
}

/** One direction between two hosts. */
export class Path {
  readonly from: string;
  readonly to: string;
  readonly trace: Trace;
  readonly random: () => number;
  readonly listeners: Set<PathListener> = new Set();
  conditions: Conditions = {};
  readonly #common: () => Conditions;
  #opened: PromiseWithResolvers<void> | undefined;

  /** @param common Returns the conditions of all paths, for those that this path does not set */
  constructor(from: string, to: string, trace: Trace, random: () => number, common: () => Conditions) {
    this.from = from;
    this.to = to;
    this.trace = trace;
    this.random = random;
    this.#common = common;
  }

  /** Whether the path is stalled. */
  get stalled(): boolean {
    return this.#opened !== undefined;
  }

  get window(): number {
    return this.#of("window") ?? 65_536;
  }

  get bandwidth(): number {
    return this.#of("bandwidth") ?? Infinity;
  }

  drawDelay(): number {
    return draw(this.#of("delay") ?? 0, this.random);
  }

  drawChunk(): number {
    return Math.floor(draw(this.#of("chunk") ?? Infinity, this.random));
  }

  /** Whether a new connection is refused. */
  drawRefusal(): boolean {
    const share = this.#of("refuse") ?? 0;
    return share > 0 && this.random() < share;
  }

  /** Draws the time to open a connection. */
  drawConnectDelay(back: Path): number {
    const own = this.#of("connectDelay");
    return own === undefined ? this.drawDelay() + back.drawDelay() : draw(own, this.random);
  }

  /** Stalls the path; nothing is lost. */
  stall(): void {
    this.#opened ??= Promise.withResolvers();
  }

  /** Opens the path; delayed data is delivered first. */
  open(): void {
    const opened = this.#opened;
    if (opened === undefined) return;
    this.#opened = undefined;
    opened.resolve();
    for (const listener of [...this.listeners]) listener.onOpened();
  }

  /**
   * Waits as long as the path takes to transmit something with a delay of `delay` ms.
   *
   * @throws The signal's reason, if it aborts first
   */
  async cross(delay: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (delay > 0) await sleep(SYSTEM_CLOCK, Math.ceil(delay), signal);
    while (this.#opened !== undefined && !signal.aborted) await abortable(this.#opened.promise, signal);
    signal.throwIfAborted();
  }

  #of<K extends keyof Conditions>(name: K): Conditions[K] {
    return this.conditions[name] ?? this.#common()[name];
  }
}

/**
 * Waits for a promise, or for a signal to abort.
 *
 * @throws The signal's reason, if it aborts first
 */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
