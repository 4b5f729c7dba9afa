// The limits of a session, each stated once with its default and range. Every one is an option of servers and clients.

import { type Names, shownOption } from "../call/check_options.ts";

/** The limits of one connection. Times in ms, sizes in bytes. */
export interface SessionLimits {
  /**
   * The longest frame accepted.
   *
   * @default {4_194_304}
   */
  maxFrameBytes: number;
  /**
   * Calls of the peer that may be in flight at once; further ones are refused with `resource_exhausted`.
   *
   * @default {1024}
   */
  maxInFlight: number;
  /**
   * Bytes that may wait to be written. While more than half of that waits, no call is sent and none is started.
   *
   * @default {8_388_608}
   */
  maxUnsentBytes: number;
  /**
   * Credit that the streams received over a connection may hold beyond their initial windows, in bytes. One that finds none
   * left returns to its initial window.
   *
   * @default {33_554_432}
   */
  maxWindowBytes: number;
  /**
   * How long a frame may take to arrive, measured from its head; each 64 KiB received allow another second.
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
   * The silence after which the peer is pinged; false = never. While a call waits for its single result, the peer is pinged
   * after 1 to 2 s of silence, then after twice as long each time that it answers, up to this.
   *
   * @default {30_000}
   */
  heartbeatInterval: number | false;
  /**
   * How long a pinged peer may stay silent before the connection counts as lost.
   *
   * @default {10_000}
   */
  heartbeatTimeout: number;
  /**
   * How long calls of the peer may wait for their handler before a standing queue counts as overload: once all calls of
   * a second have waited longer, those that have are refused with `resource_exhausted`, until a second passes in which
   * no call has. A call that has waited for over 100 ms, and longer than its caller will go on waiting, is always
   * refused. Infinity = no limit.
   *
   * @default {5_000}
   */
  maxQueueTime: number;
  /**
   * Frames a second that may request no work: pings, cancels, refused calls, answers and credit for calls that have
   * ended. Each answered call offsets one. A connection with more is closed with `resource_exhausted`.
   *
   * @default {10_240}
   */
  maxUselessFrames: number;
}

/** The default of a limit, and its range: from 1 to 2^53-1 unless stated; `or` is another value that turns it off. */
interface Bound {
  readonly default: number;
  readonly least?: number;
  readonly most?: number;
  readonly or?: false | typeof Infinity;
}

const BOUNDS = {
  maxFrameBytes: { default: 4_194_304, least: 65_536, most: 0xffffffff },
  maxInFlight: { default: 1_024, least: 16 },
  maxUnsentBytes: { default: 8_388_608 },
  maxWindowBytes: { default: 33_554_432 },
  frameTimeout: { default: 30_000 },
  writeTimeout: { default: 10_000 },
  heartbeatInterval: { default: 30_000, or: false },
  heartbeatTimeout: { default: 10_000 },
  maxQueueTime: { default: 5_000, or: Infinity },
  maxUselessFrames: { default: 10_240 },
} satisfies Record<keyof SessionLimits, Bound>;

const ENTRIES = Object.entries<Bound>(BOUNDS) as [keyof SessionLimits, Bound][];

/** The names of the limits, for the checks of options that include them. */
export const LIMIT_NAMES: Names<SessionLimits> = Object.fromEntries(
  ENTRIES.map(([name]) => [name, true]),
) as Names<SessionLimits>;

/**
 * Fills in the defaults.
 *
 * @throws {RangeError} If a limit is out of its range
 */
export function sessionLimits(options: Partial<SessionLimits>): SessionLimits {
  const limits = ENTRIES.map(([name, { default: value, least = 1, most, or }]) => {
    const { [name]: given = value } = options;
    if (or === false) return [name, wholeOrOff(name, given)];
    return [
      name,
      or === Infinity ? wholeOrInfinity(name, given as number) : whole(name, given as number, least, most),
    ];
  });
  return Object.fromEntries(limits) as unknown as SessionLimits;
}

/** Bytes that may wait to be read on a transport without backpressure. */
export function mostHeld({ maxFrameBytes, maxUnsentBytes, maxWindowBytes }: SessionLimits): number {
  return maxFrameBytes + maxUnsentBytes + maxWindowBytes;
}

/**
 * Checks an option that is a whole number.
 *
 * @param or What else it may be, for the message
 * @throws {TypeError} If it is not a number
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
    const message = `Cannot use ${name} ${shownOption(value)}: expected a whole number ${range}${or}`;
    throw typeof value === "number" ? new RangeError(message) : new TypeError(message);
  }
  return value;
}

/**
 * Checks a limit that can be absent: a whole number, or Infinity.
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
function wholeOrOff(name: string, value: number | false): number | false {
  return value === false ? value : whole(name, value, 1, undefined, ", or false to turn it off");
}
