// Checks the limits in the options of codecs. Called by their constructors.

import { shownOption } from "../call/check_options.ts";

/** Maximum of `maxDepth`: each level takes a few stack frames, of which there are thousands. */
export const MAX_DEPTH = 1000;

/**
 * Returns `value` if it is a valid limit.
 *
 * @throws {RangeError} If it is not an integer from 1 to `most`; the message names the option
 */
export function limit(name: string, value: number, most: number = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(value) && value > 0 && value <= most) return value;
  throw new RangeError(
    `Cannot create codec: ${name} must be an integer from 1 to ${most}, not ${shownOption(value)}`,
  );
}

/** Why an integer is refused that is longer than `maxBignumBytes`. */
export function tooLongInteger(maxBignumBytes: number): string {
  return `an integer is longer than ${maxBignumBytes} bytes (maxBignumBytes)`;
}

/** Why a key is refused that is longer than `maxKeyBytes`. */
export function tooLongKey(maxKeyBytes: number): string {
  return `a key is longer than ${maxKeyBytes} bytes (maxKeyBytes)`;
}

/** Why a message is refused that has more than `maxItems` items. */
export function tooManyItems(maxItems: number): string {
  return `more than ${maxItems} items (maxItems)`;
}
