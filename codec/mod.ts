/**
 * Codecs, which encode a connection's arguments, results and error details.
 *
 * Connections use CBOR unless their `codecType` selects another; JSON is for clients without CBOR. Custom codecs implement
 * {@linkcode Codec}.
 *
 * @example
 * ```ts
 * import { CborCodec, decode, encode } from "@troodon/rpc/codec";
 * import { assertEquals } from "@std/assert";
 *
 * const codec = new CborCodec();
 * const bytes = encode(codec, { a: 1, b: 2 });
 * assertEquals(bytes.toHex(), "a2616101616202");
 * assertEquals(decode(codec, bytes), { a: 1, b: 2 });
 * ```
 *
 * @module
 */

import { ByteBuffer } from "./bytes.ts";
import type { Codec } from "./codec.ts";

export { ByteBuffer } from "./bytes.ts";
export { CborCodec, type CborOptions } from "./cbor.ts";
export { CborError, type CborErrorCode } from "./cbor_error.ts";
export type { Codec } from "./codec.ts";
export { JsonCodec, type JsonOptions } from "./json.ts";
export { CodecTable } from "./table.ts";
export { Simple, Tagged } from "./tagged.ts";

/**
 * Encodes one value to a new array of bytes.
 *
 * @example
 * ```ts
 * import { encode, JsonCodec } from "@troodon/rpc/codec";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(new TextDecoder().decode(encode(new JsonCodec(), [1, 2])), "[1,2]");
 * ```
 *
 * @param codec The codec to use
 * @param value The value to encode
 * @returns The encoding
 * @throws {Error} If the codec cannot encode the value
 */
export function encode(codec: Codec, value: unknown): Uint8Array<ArrayBuffer> {
  const out = new ByteBuffer();
  codec.encode(value, out);
  return out.bytes.slice(0, out.length);
}

/**
 * Decodes the bytes of one value.
 *
 * @example
 * ```ts
 * import { CborCodec, decode } from "@troodon/rpc/codec";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(decode(new CborCodec(), Uint8Array.of(0x82, 0x01, 0x02)), [1, 2]);
 * ```
 *
 * @param codec The codec to use
 * @param bytes The encoding of one value
 * @returns The value
 * @throws {Error} If the bytes are not exactly one value
 */
export function decode(codec: Codec, bytes: Uint8Array): unknown {
  return codec.decode(bytes, 0, bytes.length);
}
