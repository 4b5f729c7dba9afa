// Decodes short ASCII text without a loop or an array: most text of small messages is this short. Used by text.ts.

const { fromCharCode } = String;

/** Maximum length of what `shortText` decodes, in bytes. */
export const SHORT_TEXT_BYTES = 16;

/** The text of `length` bytes from `at` on, up to 16, if they are ASCII. */
export function shortText(bytes: Uint8Array, at: number, length: number): string | undefined {
  return length < 9 ? tinyText(bytes, at, length) : middleText(bytes, at, length);
}

/** The text of up to eight bytes if they are ASCII. */
function tinyText(bytes: Uint8Array, at: number, length: number): string | undefined {
  if (length === 0) return "";
  const a = bytes[at]!;
  if (length === 1) return a < 0x80 ? fromCharCode(a) : undefined;
  const b = bytes[at + 1]!;
  if (length === 2) return (a | b) < 0x80 ? fromCharCode(a, b) : undefined;
  const c = bytes[at + 2]!;
  if (length === 3) return (a | b | c) < 0x80 ? fromCharCode(a, b, c) : undefined;
  const d = bytes[at + 3]!;
  if ((a | b | c | d) > 0x7f) return undefined;
  if (length === 4) return fromCharCode(a, b, c, d);
  const e = bytes[at + 4]!;
  if (length === 5) return e < 0x80 ? fromCharCode(a, b, c, d, e) : undefined;
  const f = bytes[at + 5]!;
  if (length === 6) return (e | f) < 0x80 ? fromCharCode(a, b, c, d, e, f) : undefined;
  const g = bytes[at + 6]!;
  if (length === 7) return (e | f | g) < 0x80 ? fromCharCode(a, b, c, d, e, f, g) : undefined;
  const h = bytes[at + 7]!;
  return (e | f | g | h) < 0x80 ? fromCharCode(a, b, c, d, e, f, g, h) : undefined;
}

/** The text of 9 to 16 bytes if they are ASCII. */
function middleText(bytes: Uint8Array, at: number, length: number): string | undefined {
  const a = bytes[at]!;
  const b = bytes[at + 1]!;
  const c = bytes[at + 2]!;
  const d = bytes[at + 3]!;
  const e = bytes[at + 4]!;
  const f = bytes[at + 5]!;
  const g = bytes[at + 6]!;
  const h = bytes[at + 7]!;
  const first = a | b | c | d | e | f | g | h;
  const i = bytes[at + 8]!;
  if (length === 9) return (first | i) < 0x80 ? fromCharCode(a, b, c, d, e, f, g, h, i) : undefined;
  const j = bytes[at + 9]!;
  if (length === 10) return (first | i | j) < 0x80 ? fromCharCode(a, b, c, d, e, f, g, h, i, j) : undefined;
  const k = bytes[at + 10]!;
  if (length === 11) {
    return (first | i | j | k) < 0x80 ? fromCharCode(a, b, c, d, e, f, g, h, i, j, k) : undefined;
  }
  const l = bytes[at + 11]!;
  if (length === 12) {
    return (first | i | j | k | l) < 0x80 ? fromCharCode(a, b, c, d, e, f, g, h, i, j, k, l) : undefined;
  }
  const m = bytes[at + 12]!;
  if (length === 13) {
    return (first | i | j | k | l | m) < 0x80
      ? fromCharCode(a, b, c, d, e, f, g, h, i, j, k, l, m)
      : undefined;
  }
  const n = bytes[at + 13]!;
  if (length === 14) {
    return (first | i | j | k | l | m | n) < 0x80
      ? fromCharCode(a, b, c, d, e, f, g, h, i, j, k, l, m, n)
      : undefined;
  }
  const o = bytes[at + 14]!;
  if (length === 15) {
    return (first | i | j | k | l | m | n | o) < 0x80
      ? fromCharCode(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o)
      : undefined;
  }
  const p = bytes[at + 15]!;
  return (first | i | j | k | l | m | n | o | p) < 0x80
    ? fromCharCode(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)
    : undefined;
}
