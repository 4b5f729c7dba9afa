// Encodes and decodes UTF-8 strictly: malformed text is rejected, never replaced. Called by the codecs and by the frame header.
// Short text is handled in loops here, since a call of the platform's TextEncoder or TextDecoder costs as much as some hundred
// characters.

import type { ByteBuffer } from "./bytes.ts";
import { EncodeError } from "./encode_error.ts";
import { SHORT_TEXT_BYTES, shortText } from "./short_text.ts";

const LOOPED_CHARS = 64;
/** How long the encoding of a text is at most that {@linkcode encodeText} calls short, in bytes. */
export const SHORT_BYTES = 3 * LOOPED_CHARS;

/** Decodes bytes from `start` to `end`; invalid ones become U+FFFD. */
type Utf8Slice = (this: Uint8Array, start: number, end: number) => string;

// With node:buffer, as in Deno, its decoder is faster than a loop from a few bytes on, and twice as fast as a TextDecoder up to
// some 250 bytes. Without it, as in browsers, TextDecoder is used. It is looked up at the first text longer than LOOPED_BYTES,
// since Deno then loads node:buffer, which takes 5 ms.
const LOOPED_BYTES = "Buffer" in globalThis ? 18 : 160;
const SLICED_BYTES = 250;
const node: { utf8Slice?: Utf8Slice | null } = {};

const encoder = new TextEncoder();
// A strict decoder takes three to eight times as long as one that replaces invalid bytes, so it is used only for text that has
// the replacement. Without ignoreBOM an initial U+FEFF of a text would be removed.
const replacing = new TextDecoder("utf-8", { ignoreBOM: true });
const strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });
const REPLACEMENT = "\ufffd";
// Called through `call`, so that the method is not looked up on strings of varying internal representations, which is slow in
// V8.
const { charCodeAt } = String.prototype;
const { fromCharCode } = String;

/**
 * Appends `text` as a CBOR text string with its head.
 *
 * @returns Whether it is longer than 64 UTF-16 units
 * @throws {TypeError} If the text has a lone surrogate; nothing is appended then
 */
export function encodeText(out: ByteBuffer, text: string): boolean {
  const flat = `${text}`;
  const { length } = flat;
  if (length > LOOPED_CHARS) return encodeLongText(out, flat);
  // The head is written for ASCII; if the text turns out to need a longer head, its bytes are moved up.
  out.reserve(3 * length + 3);
  const { bytes } = out;
  const start = out.length + (length < 24 ? 1 : 2);
  for (let i = 0; i < length; i++) {
    const unit = charCodeAt.call(flat, i);
    if (unit > 0x7f) return encodeShortText(out, flat, start + i, i);
    bytes[start + i] = unit;
  }
  if (length < 24) {
    bytes[start - 1] = 0x60 | length;
  } else {
    bytes[start - 2] = 0x78;
    bytes[start - 1] = length;
  }
  out.length = start + length;
  return false;
}

/** Continues after the ASCII start of a text, of which `from` units have been written up to `at`. */
function encodeShortText(out: ByteBuffer, text: string, at: number, from: number): false {
  const { bytes } = out;
  const { length } = text;
  const start = at - from;
  for (let i = from; i < length; i++) {
    let unit = charCodeAt.call(text, i);
    if (unit < 0x80) {
      bytes[at++] = unit;
    } else if (unit < 0x800) {
      bytes[at++] = 0xc0 | unit >> 6;
      bytes[at++] = 0x80 | unit & 0x3f;
    } else {
      if ((unit & 0xf800) === 0xd800) {
        const next = i + 1 < length ? charCodeAt.call(text, i + 1) : 0;
        if (unit > 0xdbff || (next & 0xfc00) !== 0xdc00) throw loneSurrogate();
        i++;
        unit = 0x10000 + ((unit & 0x3ff) << 10) + (next & 0x3ff);
        bytes[at++] = 0xf0 | unit >> 18;
        bytes[at++] = 0x80 | unit >> 12 & 0x3f;
      } else {
        bytes[at++] = 0xe0 | unit >> 12;
      }
      bytes[at++] = 0x80 | unit >> 6 & 0x3f;
      bytes[at++] = 0x80 | unit & 0x3f;
    }
  }
  const size = at - start;
  const begin = out.length;
  if (size >= 24 && length < 24) bytes.copyWithin(start + 1, start, at++);
  if (size < 24) {
    bytes[begin] = 0x60 | size;
  } else {
    bytes[begin] = 0x78;
    bytes[begin + 1] = size;
  }
  out.length = at;
  return false;
}

function encodeLongText(out: ByteBuffer, text: string): true {
  if (!text.isWellFormed()) throw loneSurrogate();
  const begin = out.length;
  // Reserve the longest head; move the text up to the actual head afterwards.
  out.reserve(5 + text.length);
  const start = begin + 5;
  let { read, written } = encoder.encodeInto(text, out.bytes.subarray(start));
  if (read < text.length) {
    // Not ASCII: the rest takes at most three bytes for each unit.
    out.length = start + written;
    out.reserve(3 * (text.length - read));
    out.length = begin;
    const rest = encoder.encodeInto(text.slice(read), out.bytes.subarray(start + written));
    written += rest.written;
  }
  const { bytes } = out;
  const head = written < 0x100 ? 2 : written < 0x10000 ? 3 : 5;
  if (head === 2) {
    bytes[begin] = 0x78;
  } else if (head === 3) {
    bytes[begin] = 0x79;
    bytes[begin + 1] = written >> 8;
  } else {
    bytes[begin] = 0x7a;
    bytes[begin + 1] = written >>> 24;
    bytes[begin + 2] = written >> 16;
    bytes[begin + 3] = written >> 8;
  }
  bytes[begin + head - 1] = written;
  if (head < 5) bytes.copyWithin(begin + head, start, start + written);
  out.length = begin + head + written;
  return true;
}

function loneSurrogate(): EncodeError {
  return new EncodeError("text with a lone surrogate is not supported");
}

function findUtf8Slice(): Utf8Slice | null {
  const { Buffer } = globalThis as { Buffer?: { prototype?: { utf8Slice?: Utf8Slice } } };
  return Buffer?.prototype?.utf8Slice ?? null;
}

/** The text in `bytes[start]` to `bytes[end - 1]`, or undefined if it is not valid UTF-8. */
export function decodeText(bytes: Uint8Array, start: number, end: number): string | undefined {
  const length = end - start;
  if (length > LOOPED_BYTES) return decodeLongText(bytes, start, end);
  if (length <= SHORT_TEXT_BYTES) {
    const text = shortText(bytes, start, length);
    if (text !== undefined) return text;
  }
  const units = new Array<number>(length);
  for (let i = 0; i < length; i++) {
    const byte = bytes[start + i]!;
    if (byte > 0x7f) return decodeShortText(bytes, start + i, end, units, i);
    units[i] = byte;
  }
  return fromCharCode.apply(null, units);
}

function decodeLongText(bytes: Uint8Array, start: number, end: number): string | undefined {
  if (end - start <= SLICED_BYTES) {
    const utf8Slice = node.utf8Slice ??= findUtf8Slice();
    if (utf8Slice !== null) {
      const text = utf8Slice.call(bytes, start, end);
      return !text.includes(REPLACEMENT) || replacesNothing(text, bytes, start, end) ? text : undefined;
    }
  }
  return decodeUtf8(bytes, start, end);
}

/** As {@linkcode decodeText}, without the loops for short text. */
export function decodeUtf8(bytes: Uint8Array, start: number, end: number): string | undefined {
  const part = bytes.subarray(start, end);
  const text = replacing.decode(part);
  if (!text.includes(REPLACEMENT)) return text;
  try {
    return strict.decode(part);
  } catch {
    return undefined;
  }
}

/** Whether every U+FFFD in `text` is also in `bytes`: a decoder that is not strict inserts it for invalid input. */
function replacesNothing(text: string, bytes: Uint8Array, start: number, end: number): boolean {
  let surplus = 0;
  for (let i = 0; i < text.length; i++) if (charCodeAt.call(text, i) === 0xfffd) surplus++;
  for (let at = start; at < end - 2; at++) {
    if (bytes[at] !== 0xef || bytes[at + 1] !== 0xbf || bytes[at + 2] !== 0xbd) continue;
    surplus--;
    at += 2;
  }
  return surplus === 0;
}

/** Continues after the ASCII start of a text, of which `length` units have been read. */
function decodeShortText(
  bytes: Uint8Array,
  at: number,
  end: number,
  units: number[],
  length: number,
): string | undefined {
  while (at < end) {
    const byte = bytes[at++]!;
    if (byte < 0x80) {
      units[length++] = byte;
      continue;
    }
    // Table 3-7 of the Unicode standard: the range of the second byte excludes overlong forms, surrogates and code points
    // above U+10FFFF. Bytes after `end` are never read.
    const more = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    if (byte < 0xc2 || byte > 0xf4 || at + more > end) return undefined;
    const second = bytes[at++]!;
    const least = byte === 0xe0 ? 0xa0 : byte === 0xf0 ? 0x90 : 0x80;
    const most = byte === 0xed ? 0x9f : byte === 0xf4 ? 0x8f : 0xbf;
    if (second < least || second > most) return undefined;
    if (more === 1) {
      units[length++] = (byte & 0x1f) << 6 | second & 0x3f;
      continue;
    }
    const third = bytes[at++]!;
    if ((third & 0xc0) !== 0x80) return undefined;
    if (more === 2) {
      units[length++] = (byte & 0x0f) << 12 | (second & 0x3f) << 6 | third & 0x3f;
      continue;
    }
    const fourth = bytes[at++]!;
    if ((fourth & 0xc0) !== 0x80) return undefined;
    const beyond = ((byte & 0x07) << 18 | (second & 0x3f) << 12 | (third & 0x3f) << 6 | fourth & 0x3f) -
      0x10000;
    units[length++] = 0xd800 | beyond >> 10;
    units[length++] = 0xdc00 | beyond & 0x3ff;
  }
  units.length = length;
  return fromCharCode.apply(null, units);
}
