// Dates in CBOR: the text of tag 0 (RFC 3339) and the seconds of tag 1. Called by the CBOR encoder and decoder.

import { EncodeError } from "./encode_error.ts";

const DATE_TIME =
  /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/i;

const ZERO = 0x30;
const MS_A_DAY = 86_400_000;
/** Period of the calendar. Years are shifted by it to a range where Date.UTC does not add 1900. */
const CYCLE_YEARS = 400;
const CYCLE_MS = 146_097 * MS_A_DAY;

/** The instant of a date text, with ms precision; undefined if it is invalid. Leap seconds are not supported. */
export function parseDateTime(text: string): Date | undefined {
  if (!DATE_TIME.test(text)) return undefined;
  const year = CYCLE_YEARS + digits(text, 0, 4);
  const month = digits(text, 5, 2) - 1;
  const day = digits(text, 8, 2);
  if (day > 28 && day * MS_A_DAY > Date.UTC(year, month + 1) - Date.UTC(year, month)) return undefined;
  const ms = Date.UTC(
    year,
    month,
    day,
    digits(text, 11, 2),
    digits(text, 14, 2),
    digits(text, 17, 2),
    milliseconds(text),
  );
  return new Date(ms - CYCLE_MS - offset(text));
}

/** The value of `count` digits. */
function digits(text: string, at: number, count: number): number {
  let number = 0;
  for (let i = at; i < at + count; i++) number = number * 10 + text.charCodeAt(i) - ZERO;
  return number;
}

/** The milliseconds of a valid text; digits after the third are dropped. */
function milliseconds(text: string): number {
  let ms = 0;
  if (text[19] !== ".") return ms;
  for (let at = 20, worth = 100; worth >= 1; at++, worth /= 10) {
    const digit = text.charCodeAt(at) - ZERO;
    if (digit < 0 || digit > 9) break;
    ms += digit * worth;
  }
  return ms;
}

/** The UTC offset of a valid text, in ms. */
function offset(text: string): number {
  const at = text.length - 6;
  const sign = text[at];
  if (sign !== "+" && sign !== "-") return 0;
  const ms = (digits(text, at + 1, 2) * 60 + digits(text, at + 4, 2)) * 60_000;
  return sign === "+" ? ms : -ms;
}

/** The instant that many seconds after 1970, with ms precision; undefined if it is outside the range of a `Date`. */
export function dateOfSeconds(seconds: number): Date | undefined {
  const date = new Date(Math.round(seconds * 1000));
  return Number.isNaN(date.getTime()) ? undefined : date;
}

/**
 * The seconds of a date since 1970.
 *
 * @throws {EncodeError} If they would not result in the same date
 */
export function secondsOf(date: Date): number {
  const time = date.getTime();
  if (Number.isNaN(time)) throw new EncodeError("invalid dates are not supported");
  const seconds = time / 1000;
  if (Math.round(seconds * 1000) === time) return seconds;
  throw new EncodeError("this date is too far from 1970 to be encoded to the millisecond");
}
