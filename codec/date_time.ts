// CBOR's dates: the text of tag 0 (RFC 3339) and the seconds of tag 1. Called by the CBOR decoder.

const DATE_TIME =
  /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/i;

/** The instant that `text` names to the millisecond, or undefined if it names none. Leap seconds have none. */
export function parseDateTime(text: string): Date | undefined {
  if (!DATE_TIME.test(text)) return undefined;
  // Date.parse takes February 30 for March 2; all months have 28 days. Years are moved to where Date.UTC does not add
  // 1900.
  const day = Number(text.slice(8, 10));
  if (day > 28) {
    const [year, month] = [Number(text.slice(0, 4)), Number(text.slice(5, 7))];
    if (day > new Date(Date.UTC(2000 + year % 400, month, 0)).getUTCDate()) return undefined;
  }
  return new Date(text.toUpperCase());
}

/** The instant that many seconds after 1970, to the millisecond, or undefined if a `Date` cannot be as far off. */
export function dateOfSeconds(seconds: number): Date | undefined {
  const date = new Date(Math.round(seconds * 1000));
  return Number.isNaN(date.getTime()) ? undefined : date;
}
