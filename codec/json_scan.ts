// Checks a JSON text against limits before JSON.parse allocates anything for it. Called by the JSON codec with the bytes of
// one message from a peer.

import { tooManyItems } from "./limit.ts";
import { LONGEST_NUMERAL, Numerals } from "./numerals.ts";

const QUOTE = 0x22;
const COMMA = 0x2c;
const ZERO = 0x30;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const LOWER_U = 0x75;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

const PROTO = Array.from("__proto__", (character) => character.charCodeAt(0));
/** Bytes of an escape such as `\u005f`. */
const ESCAPE_BYTES = 6;

/**
 * Width for {@linkcode Numerals}. JSON.parse interns short texts in one table of the whole process, in which texts in adjacent
 * buckets collide too: this width allows at most about 65 000 integers in a message.
 */
const NUMERALS_WIDTH = 2_048;

/**
 * Reads a text once, in linear time. A text that passes need not be valid JSON.
 *
 * @param maxDepth Maximum nesting of arrays and objects
 * @param maxItems Maximum number of arrays and objects, elements, names and values
 * @throws {SyntaxError} If the text exceeds a limit, or has the name `__proto__`
 */
export function scanJson(
  bytes: Uint8Array,
  start: number,
  end: number,
  maxDepth: number,
  maxItems: number,
): void {
  let depth = 0;
  let items = 0;
  /** Whether the last text was `__proto__`. */
  let proto = false;
  let numerals: Numerals | undefined;
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!;
    if (byte === QUOTE) {
      const opened = ++at;
      let escaped = false;
      for (; at < end && bytes[at] !== QUOTE; at++) {
        if (bytes[at] !== BACKSLASH) continue;
        escaped = true;
        at++;
      }
      proto = false;
      if (at - opened > (escaped ? LONGEST_NUMERAL * ESCAPE_BYTES : LONGEST_NUMERAL)) continue;
      const units = escaped ? unescaped(bytes, opened, at) : bytes;
      const first = escaped ? 0 : opened;
      const last = escaped ? units.length : at;
      proto = isProto(units, first, last);
      const number = numeral(units, first, last);
      if (number >= 0 && !(numerals ??= new Numerals(NUMERALS_WIDTH)).add(number)) {
        throw rejected("too many texts are integers");
      }
    } else if (byte === COMMA || byte === COLON) {
      items++;
      if (proto && byte === COLON) throw rejected("the name __proto__ is not allowed");
    } else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
      items++;
      if (++depth > maxDepth) throw rejected(`more than ${maxDepth} levels of nesting (maxDepth)`);
    } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) {
      depth--;
    }
  }
  if (items > maxItems) throw rejected(tooManyItems(maxItems));
}

/** The characters of a short text with escapes; 0 for escapes of irrelevant characters. */
function unescaped(bytes: Uint8Array, start: number, end: number): number[] {
  const units: number[] = [];
  for (let at = start; at < end; at++) {
    if (bytes[at] !== BACKSLASH) {
      units.push(bytes[at]!);
      continue;
    }
    let unit = 0;
    if (bytes[++at] === LOWER_U) {
      for (let i = 0; i < 4; i++) unit = unit << 4 | hexDigit(bytes[++at]!);
    }
    units.push(unit);
  }
  return units;
}

/** The value of a hexadecimal digit. Other bytes do not matter, since JSON.parse rejects them. */
function hexDigit(byte: number): number {
  return byte < 0x40 ? byte & 15 : (byte & 15) + 9;
}

function isProto(units: ArrayLike<number>, start: number, end: number): boolean {
  if (end - start !== PROTO.length) return false;
  for (let i = 0; i < PROTO.length; i++) if (units[start + i] !== PROTO[i]) return false;
  return true;
}

/** The integer that a text represents, or -1. */
function numeral(units: ArrayLike<number>, start: number, end: number): number {
  if (end === start || end - start > LONGEST_NUMERAL) return -1;
  let number = 0;
  for (let at = start; at < end; at++) {
    const digit = units[at]! - ZERO;
    if (digit < 0 || digit > 9) return -1;
    number = number * 10 + digit;
  }
  return number;
}

function rejected(reason: string): SyntaxError {
  return new SyntaxError(`Cannot decode JSON: ${reason}`);
}
