// Checks the limits that codecs take as options. Called by their constructors.

import { shownOption } from "../call/check_options.ts";

/** The most levels a codec may be allowed: each takes a few frames of the stack, of which there are thousands. */
export const DEEPEST = 1000;

/**
 * Returns `value` if it can be a limit.
 *
 * @throws {RangeError} If it is not an integer from 1 to `most`; the message names the option
 */
export function limit(name: string, value: number, most: number = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(value) && value > 0 && value <= most) return value;
  throw new RangeError(
    `Cannot create codec: ${name} must be an integer from 1 to ${most}, not ${shownOption(value)}`,
  );
}
