// The way from one host to another, in one direction: its conditions, and whether anything gets through.

import { sleep, SYSTEM_CLOCK } from "../discovery/clock.ts";
import { checkDraw, draw, type RandomValue } from "./seeded_random.ts";
import type { Trace } from "./trace.ts";

/** What the way from one host to another is like. Times are rounded up to whole ms. */
export interface Conditions {
  /**
   * How long what is written is under way, in ms, 0 or more. Drawn for each write; what is written to one connection
   * stays in order.
   *
   * @default {0}
   */
  delay?: RandomValue;
  /**
   * How long a connection takes to be made, in ms, 0 or more. With a range, later dials may be done first.
   *
   * @default {the delay there and the delay back}
   */
  connectDelay?: RandomValue;
  /**
   * How many bytes a second each connection takes in this direction, more than 0.
   *
   * @default {Infinity}
   */
  bandwidth?: number;
  /**
   * How many bytes one write takes at most, 1 or more. Drawn for each write; what is taken at once is also what
   * arrives at once.
   *
   * @default {Infinity}
   */
  chunk?: RandomValue;
  /**
   * How many bytes of each connection may be written and not read yet, 1 or more: beyond that, writes wait.
   *
   * @default {65_536}
   */
  window?: number;
  /**
   * The share of connections and HTTP requests that is refused, from 0 to 1.
   *
   * @default {0}
   */
  refuse?: number;
}

/**
 * Checks conditions.
 *
 * @throws {TypeError} If one is of the wrong type
 * @throws {RangeError} If one is out of its range
 */
export function checkConditions(conditions: Conditions): Conditions {
  const checked: Conditions = { ...conditions };
  const { delay, connectDelay, chunk, bandwidth, window, refuse } = conditions;
  if (delay !== undefined) checked.delay = checkDraw("delay", delay, 0);
  if (connectDelay !== undefined) checked.connectDelay = checkDraw("connectDelay", connectDelay, 0);
  if (chunk !== undefined && chunk !== Infinity) checked.chunk = checkDraw("chunk", chunk, 1);
  if (bandwidth !== undefined && !(bandwidth > 0)) {
    throw new RangeError(`Cannot use bandwidth ${bandwidth}: expected more than 0 bytes a second`);
  }
  if (window !== undefined && !(window >= 1)) {
    throw new RangeError(`Cannot use window ${window}: expected at least 1 byte`);
  }
  if (refuse !== undefined && !(refuse >= 0 && refuse <= 1)) {
    throw new RangeError(`Cannot use refuse ${refuse}: expected a share from 0 to 1`);
  }
  return checked;
}

/** What has something under way on a path, and goes on when the path is open again. */
export interface Traveller {
  onOpened(): void;
}

/** One direction between two hosts. */
export class Path {
  readonly from: string;
  readonly to: string;
  readonly trace: Trace;
  readonly random: () => number;
  readonly travellers: Set<Traveller> = new Set();
  conditions: Conditions = {};
  readonly #common: () => Conditions;
  #opened: PromiseWithResolvers<void> | undefined;

  /** @param common The conditions of all paths, for what this one says nothing of */
  constructor(from: string, to: string, trace: Trace, random: () => number, common: () => Conditions) {
    this.from = from;
    this.to = to;
    this.trace = trace;
    this.random = random;
    this.#common = common;
  }

  /** Whether nothing gets through. */
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

  /** Whether a connection is refused that is being made. */
  drawRefusal(): boolean {
    const share = this.#of("refuse") ?? 0;
    return share > 0 && this.random() < share;
  }

  /** How long making a connection takes. */
  drawConnectDelay(back: Path): number {
    const own = this.#of("connectDelay");
    return own === undefined ? this.drawDelay() + back.drawDelay() : draw(own, this.random);
  }

  /** Lets nothing through any more; nothing is lost. */
  stall(): void {
    this.#opened ??= Promise.withResolvers();
  }

  /** Lets everything through again, what was held first. */
  open(): void {
    const opened = this.#opened;
    if (opened === undefined) return;
    this.#opened = undefined;
    opened.resolve();
    for (const traveller of [...this.travellers]) traveller.onOpened();
  }

  /**
   * Waits until something that takes `delay` ms has got through.
   *
   * @throws The signal's reason, if it aborts before
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
 * A promise that is not waited for beyond an abort.
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
