// The interface of codecs, which encode the values of a connection. A session owns the codec that the handshake's media type
// selects from a table.

import type { ByteBuffer } from "./bytes.ts";

/**
 * Encodes a connection's arguments, results and error details.
 *
 * @example A custom codec for text
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
  /** The media type, such as `application/cbor`, which the handshake's `codecType` selects. */
  readonly name: string;
  /**
   * Appends the encoding of `value` to `out`. If it throws, the caller discards what was appended.
   *
   * @returns Nothing; or, as a text, why a receiver with the same limits would reject the encoding. It is sent nevertheless,
   * since the receiver may have other limits, and the text is logged
   * @throws {Error} If the value cannot be encoded; the message names the path in the value and the reason
   */
  encode(value: unknown, out: ByteBuffer): string | void;
  /**
   * Decodes the single value in `bytes[start]` up to `bytes[end - 1]`, reading no other bytes. The returned value must not
   * refer to `bytes`, which are overwritten afterwards.
   *
   * @throws {Error} If the bytes are not exactly one value
   */
  decode(bytes: Uint8Array, start: number, end: number): unknown;
}

/**
 * Appends the encoding of a value, which must be at least one byte: a frame without a body means that there is no value, or
 * that items follow.
 *
 * @returns What the codec warns of
 * @throws {Error} If the value cannot be encoded, or the codec wrote no bytes
 */
export function encodeValue(codec: Codec, value: unknown, out: ByteBuffer): string | undefined {
  const start = out.length;
  const warning = codec.encode(value, out);
  if (out.length === start) throw new TypeError(`Cannot encode value: codec ${codec.name} wrote no bytes`);
  return typeof warning === "string" ? warning : undefined;
}
