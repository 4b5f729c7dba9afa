// What one session allows, with the defaults. Every one is an option of servers and clients.

import { type Names, shownOption } from "../call/check_options.ts";

/** The limits of one connection. Times in ms, sizes in bytes. */
export interface SessionLimits {
  /**
   * The longest frame taken.
   *
   * @default {4_194_304}
   */
  maxFrameBytes: number;
  /**
   * Calls of the other side that may be in flight at once; the call too many is refused with `resource_exhausted`.
   *
   * @default {1024}
   */
  maxInFlight: number;
  /**
   * Bytes that may wait to be written. While more than half of it wait, no call is sent and none is started.
   *
   * @default {8_388_608}
   */
  maxUnsentBytes: number;
  /**
   * How long a frame may take to arrive, from its head; each further 64 KiB that have arrived give it another second.
   *
   * @default {30_000}
   */
  frameTimeout: number;
  /**
   * How long a write may make no progress.
   *
   * @default {10_000}
   */
  writeTimeout: number;
  /**
   * After how long a silence the other side is pinged; false = never. While a call waits for its one result, it is pinged
   * after 1 to 2 s of silence, then after twice as long each time that it answers, up to this.
   *
   * @default {30_000}
   */
  heartbeatInterval: number | false;
  /**
   * How long a pinged side may stay silent before the connection counts as dead.
   *
   * @default {10_000}
   */
  heartbeatTimeout: number;
  /**
   * How long calls of the other side may wait for their handler before a queue that stays counts as too much work: when
   * all have waited longer for a second, those that have are refused with `resource_exhausted`, until none has for
   * a second. A call that has waited for over 100 ms, and longer than its caller will go on waiting, is refused in
   * any case. Infinity = no limit.
   *
   * @default {5_000}
   */
  maxQueueTime: number;
  /**
   * Frames a second that may ask for no work: pings, cancels, refused calls, answers and credit for calls that are over.
   * Every call that is answered makes up for one. A connection with more is ended with `resource_exhausted`.
   *
   * @default {10_240}
   */
  maxUselessFrames: number;
}

const DEFAULTS: Readonly<SessionLimits> = {
  maxFrameBytes: 4_194_304,
  maxInFlight: 1_024,
  maxUnsentBytes: 8_388_608,
  frameTimeout: 30_000,
  writeTimeout: 10_000,
  heartbeatInterval: 30_000,
  heartbeatTimeout: 10_000,
  maxQueueTime: 5_000,
  maxUselessFrames: 10_240,
};

/** The names of the limits, for those who have more options. */
export const LIMIT_NAMES: Names<SessionLimits> = {
  maxFrameBytes: true,
  maxInFlight: true,
  maxUnsentBytes: true,
  frameTimeout: true,
  writeTimeout: true,
  heartbeatInterval: true,
  heartbeatTimeout: true,
  maxQueueTime: true,
  maxUselessFrames: true,
};

/** The least that a limit may be, where it is not 1. */
const LEAST: Partial<SessionLimits> = {
  maxFrameBytes: 65_536,
  maxInFlight: 16,
};
const MOST: Partial<SessionLimits> = { maxFrameBytes: 0xffffffff };

/**
 * Fills in the defaults.
 *
 * @throws {RangeError} If a limit is out of its range
 */
export function sessionLimits(options: Partial<SessionLimits>): SessionLimits {
  const limits = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS) as (keyof SessionLimits)[]) {
    const value = options[name];
    if (value === undefined) continue;
    if (name === "heartbeatInterval") limits[name] = wholeOrOff(name, value);
    else if (name === "maxQueueTime") limits[name] = wholeOrInfinity(name, value as number);
    else limits[name] = whole(name, value as number, LEAST[name] ?? 1, MOST[name] as number | undefined);
  }
  return limits;
}

/** Bytes that may wait to be read where the other side cannot be made to wait. */
export function mostHeld({ maxFrameBytes, maxUnsentBytes }: SessionLimits): number {
  return maxFrameBytes + maxUnsentBytes;
}

/**
 * Checks an option that is a whole number.
 *
 * @param or What else it may be, for the message
 * @throws {RangeError} Naming the option and its range
 */
export function whole(
  name: string,
  value: number,
  least: number,
  most: number = Number.MAX_SAFE_INTEGER,
  or = "",
): number {
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
    throw new RangeError(`Cannot use ${name} ${shownOption(value)}: expected a whole number ${range}${or}`);
  }
  return value;
}

/**
 * Checks a limit that there need not be: a whole number, or Infinity.
 *
 * @throws {RangeError} Naming the option and its range
 */
export function wholeOrInfinity(name: string, value: number, most?: number): number {
  return value === Infinity ? value : whole(name, value, 1, most, ", or Infinity for no limit");
}

/**
 * Checks an option that can be turned off: a whole number, or false.
 *
 * @throws {RangeError} Naming the option and its range
 */
export function wholeOrOff(name: string, value: number | false): number | false {
  return value === false ? value : whole(name, value, 1, undefined, ", or false to turn it off");
}
