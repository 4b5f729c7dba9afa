// Encodes frames: one function per kind, each of which appends a frame's head and header to a send buffer. The session
// appends the body, if there is one, and ends the frame. The reading side is frame_decoder.ts.

import { type Metadata, sharingOf } from "../call/metadata.ts";
import type { ByteBuffer } from "./bytes.ts";

/** Kinds of frames: the first element of a frame's header. */
export const Kind = {
  Call: 1,
  Reply: 2,
  Error: 3,
  Item: 4,
  End: 5,
  Cancel: 6,
  Credit: 7,
  Ping: 8,
  Pong: 9,
  GoAway: 10,
} as const;

/** The kind of a frame. */
export type Kind = typeof Kind[keyof typeof Kind];

/** The first byte of every frame: a CBOR byte string whose length is a 32-bit number. */
export const FRAME_MARK = 0x5a;
/** Number of bytes before a frame's header: the mark and the length. */
export const FRAME_HEAD_BYTES = 5;
/** Maximum length of an encoded header, in bytes. */
export const MAX_HEADER_BYTES = 16_384;
/** Maximum length of the message of an Error or a GoAway, in bytes of UTF-8. */
export const MAX_MESSAGE_BYTES = 8_192;

const encoder = new TextEncoder();

/** Ends the frame that begins at `start`: fills in its length, and returns that. */
export function endFrame(out: ByteBuffer, start: number): number {
  const length = out.length - start - FRAME_HEAD_BYTES;
  const bytes = out.bytes;
  bytes[start + 1] = length >>> 24;
  bytes[start + 2] = length >>> 16;
  bytes[start + 3] = length >>> 8;
  bytes[start + 4] = length;
  return length;
}

/** Begins a frame with a header of `elements` elements, and writes the first two. */
function beginFrame(out: ByteBuffer, elements: number, kind: Kind, seq: number): void {
  out.reserve(FRAME_HEAD_BYTES + 11);
  const bytes = out.bytes;
  let at = out.length;
  bytes[at++] = FRAME_MARK;
  at += 4;
  bytes[at++] = 0x80 | elements;
  bytes[at++] = kind;
  out.length = at;
  writeUint(out, 0, seq);
}

/** Begins a Call: `[1, seq, method, timeout, metadata?]`. */
export function beginCall(
  out: ByteBuffer,
  seq: number,
  method: string,
  timeout: number,
  metadata: Metadata | undefined,
): void {
  beginFrame(out, metadata === undefined ? 4 : 5, Kind.Call, seq);
  writeText(out, method);
  out.reserve(9);
  writeUint(out, 0, timeout);
  if (metadata !== undefined) writeMetadata(out, metadata);
}

/** Begins a Reply: `[2, seq, metadata?]`. */
export function beginReply(out: ByteBuffer, seq: number, metadata?: Metadata): void {
  beginFrame(out, metadata === undefined ? 2 : 3, Kind.Reply, seq);
  if (metadata !== undefined) writeMetadata(out, metadata);
}

/** Begins an Error: `[3, seq, code, message, metadata?]`. The message is cut to 8 KiB. */
export function beginError(
  out: ByteBuffer,
  seq: number,
  code: string,
  message: string,
  metadata?: Metadata,
): void {
  beginFrame(out, metadata === undefined ? 4 : 5, Kind.Error, seq);
  writeText(out, code);
  writeText(out, message, MAX_MESSAGE_BYTES);
  if (metadata !== undefined) writeMetadata(out, metadata);
}

/** Begins an Item: `[4, seq]`. */
export function beginItem(out: ByteBuffer, seq: number): void {
  beginFrame(out, 2, Kind.Item, seq);
}

/** Begins an End: `[5, seq, metadata?]`. */
export function beginEnd(out: ByteBuffer, seq: number, metadata?: Metadata): void {
  beginFrame(out, metadata === undefined ? 2 : 3, Kind.End, seq);
  if (metadata !== undefined) writeMetadata(out, metadata);
}

/** Writes a whole frame whose header is `[kind, n]`: Cancel, Ping, Pong, and an End without metadata. */
export function writeShort(out: ByteBuffer, kind: Kind, n: number): void {
  const start = out.length;
  beginFrame(out, 2, kind, n);
  endFrame(out, start);
}

/** Writes a complete Credit frame: `[7, seq, items, bytes]`. */
export function writeCredit(out: ByteBuffer, seq: number, items: number, bytes: number): void {
  const start = out.length;
  beginFrame(out, 4, Kind.Credit, seq);
  out.reserve(18);
  writeUint(out, 0, items);
  writeUint(out, 0, bytes);
  endFrame(out, start);
}

/** Writes a complete GoAway frame: `[10, lastSeq, code, message]`. The message is cut to 8 KiB. */
export function writeGoAway(out: ByteBuffer, lastSeq: number, code: string, message: string): void {
  const start = out.length;
  beginFrame(out, 4, Kind.GoAway, lastSeq);
  writeText(out, code);
  writeText(out, message, MAX_MESSAGE_BYTES);
  endFrame(out, start);
}

/** Writes a CBOR head: a major type in the upper bits and a number up to 2^53-1. The caller has reserved nine bytes. */
function writeUint(out: ByteBuffer, major: number, n: number): void {
  const bytes = out.bytes;
  let at = out.length;
  if (n < 24) {
    bytes[at++] = major | n;
  } else if (n < 0x100) {
    bytes[at++] = major | 24;
    bytes[at++] = n;
  } else if (n < 0x10000) {
    bytes[at++] = major | 25;
    bytes[at++] = n >>> 8;
    bytes[at++] = n;
  } else {
    if (n < 0x100000000) {
      bytes[at++] = major | 26;
    } else {
      const high = Math.floor(n / 0x100000000);
      bytes[at++] = major | 27;
      bytes[at++] = high >>> 24;
      bytes[at++] = high >>> 16;
      bytes[at++] = high >>> 8;
      bytes[at++] = high;
    }
    bytes[at++] = n >>> 24;
    bytes[at++] = n >>> 16;
    bytes[at++] = n >>> 8;
    bytes[at++] = n;
  }
  out.length = at;
}

/** Writes a text, cut to at most `limit` bytes of UTF-8 without splitting a character. */
function writeText(out: ByteBuffer, text: string, limit = Infinity): void {
  const length = text.length;
  if (length < 24) {
    // Method names and codes are nearly always short and ASCII: written in one pass, until a character is not.
    out.reserve(1 + length);
    const bytes = out.bytes;
    let at = out.length;
    bytes[at++] = 0x60 | length;
    let i = 0;
    for (; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code > 127) break;
      bytes[at++] = code;
    }
    if (i === length) {
      out.length = at;
      return;
    }
  }
  let encoded = encoder.encode(text);
  if (encoded.length > limit) {
    let end = limit;
    while ((encoded[end]! & 0xc0) === 0x80) end--;
    encoded = encoded.subarray(0, end);
  }
  out.reserve(9);
  writeUint(out, 0x60, encoded.length);
  out.append(encoded);
}

function writeMetadata(out: ByteBuffer, metadata: Metadata): void {
  const sharing = sharingOf(metadata);
  if (sharing?.bytes !== undefined) return out.append(sharing.bytes);
  const start = out.length;
  writeEntries(out, metadata);
  if (sharing !== undefined) sharing.bytes = out.bytes.slice(start, out.length);
}

function writeEntries(out: ByteBuffer, metadata: Metadata): void {
  out.reserve(9);
  writeUint(out, 0xa0, metadata.size);
  for (const [name, value] of metadata) {
    writeText(out, name);
    if (typeof value === "string") {
      writeText(out, value);
    } else {
      out.reserve(9);
      writeUint(out, 0x40, value.length);
      out.append(value);
    }
  }
}
