// The seam between calls and bytes: how the values of one connection are written. Sessions own one codec
// each, picked from a table by the media type that the handshake names.

import type { ByteBuffer } from "./bytes.ts";

/**
 * How a connection's arguments, results and error details become bytes.
 *
 * @example A codec of one's own: text only
 * ```ts
 * import type { ByteBuffer, Codec } from "@troodon/rpc/codec";
 *
 * const text: Codec = {
 *   name: "text/plain",
 *   encode: (value: unknown, out: ByteBuffer) => out.append(new TextEncoder().encode(String(value))),
 *   decode: (bytes, start, end) => new TextDecoder().decode(bytes.subarray(start, end)),
 * };
 * ```
 */
export interface Codec {
  /** The media type that the handshake's `codecType` names, such as `application/cbor`. */
  readonly name: string;
  /**
   * Appends the encoding of `value` to `out`. What was appended before a throw is taken back by the caller.
   *
   * @throws {Error} If the value cannot be carried; the message names where in the value and why
   */
  encode(value: unknown, out: ByteBuffer): void;
  /**
   * Decodes the one value in `bytes[start]` up to `bytes[end - 1]`, reading nothing outside. What it returns
   * must not refer to `bytes`, which is overwritten afterwards.
   *
   * @throws {Error} If the bytes are not exactly one value
   */
  decode(bytes: Uint8Array, start: number, end: number): unknown;
}

/**
 * Appends the encoding of a value, which is at least one byte: a frame without a body means that there is no value, or
 * that items follow.
 *
 * @throws {Error} If the value cannot be carried, or the codec wrote nothing for it
 */
export function encodeValue(codec: Codec, value: unknown, out: ByteBuffer): void {
  const start = out.length;
  codec.encode(value, out);
  if (out.length === start) throw new TypeError(`Cannot encode value: ${codec.name} wrote nothing for it`);
}
