/**
 * Values to bytes and back: the codecs that a connection's arguments, results and error details are written with.
 *
 * A connection uses CBOR unless it is told otherwise by its `codecType`; JSON is there for clients that have
 * nothing else. A codec of one's own implements {@linkcode Codec}.
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
 * Encodes one value to bytes of its own.
 *
 * @example
 * ```ts
 * import { encode, JsonCodec } from "@troodon/rpc/codec";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(new TextDecoder().decode(encode(new JsonCodec(), [1, 2])), "[1,2]");
 * ```
 *
 * @param codec How to encode
 * @param value What to encode
 * @returns The encoding
 * @throws {Error} If the codec cannot carry the value
 */
export function encode(codec: Codec, value: unknown): Uint8Array<ArrayBuffer> {
  const out = new ByteBuffer();
  codec.encode(value, out);
  return out.bytes.slice(0, out.length);
}

/**
 * Decodes bytes that are one value.
 *
 * @example
 * ```ts
 * import { CborCodec, decode } from "@troodon/rpc/codec";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(decode(new CborCodec(), Uint8Array.of(0x82, 0x01, 0x02)), [1, 2]);
 * ```
 *
 * @param codec How to decode
 * @param bytes The encoding of one value
 * @returns The value
 * @throws {Error} If the bytes are not exactly one value
 */
export function decode(codec: Codec, bytes: Uint8Array): unknown {
  return codec.decode(bytes, 0, bytes.length);
}
