// Holds a JSON text against limits before JSON.parse builds anything of it. Called by the JSON codec with the bytes of
// one message, which come from a peer.

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
 * For {@linkcode Numerals}. JSON.parse keeps each short text once, in a table of the whole process, in which also texts
 * with places next to each other get into each other's way: no more than about 65 000 may come at all.
 */
const NUMERAL_PLACES = 2_048;

/**
 * Reads a text once, in linear time. What is not refused is not yet known to be JSON.
 *
 * @param maxDepth How many arrays and objects may lie within each other
 * @param maxItems How many arrays and objects, elements, names and values there may be
 * @throws {SyntaxError} If it goes beyond a limit, or has the name `__proto__`
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
      if (number >= 0 && !(numerals ??= new Numerals(NUMERAL_PLACES)).add(number)) {
        throw refused("too many texts are whole numbers");
      }
    } else if (byte === COMMA || byte === COLON) {
      items++;
      if (proto && byte === COLON) throw refused("the name __proto__ is refused");
    } else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
      items++;
      if (++depth > maxDepth) throw refused(`more than ${maxDepth} values within each other (maxDepth)`);
    } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) {
      depth--;
    }
  }
  if (items > maxItems) throw refused(`more than ${maxItems} items (maxItems)`);
}

/** The characters of a short text that has escapes; 0 stands for those of which none is looked for. */
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

/** The worth of a hexadecimal digit; JSON.parse refuses all else. */
function hexDigit(byte: number): number {
  return byte < 0x40 ? byte & 15 : (byte & 15) + 9;
}

function isProto(units: ArrayLike<number>, start: number, end: number): boolean {
  if (end - start !== PROTO.length) return false;
  for (let i = 0; i < PROTO.length; i++) if (units[start + i] !== PROTO[i]) return false;
  return true;
}

/** The whole number that a text is, or -1. */
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

function refused(reason: string): SyntaxError {
  return new SyntaxError(`Cannot decode JSON: ${reason}`);
}
