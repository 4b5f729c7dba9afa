// CborError, thrown by the CBOR decoder.

/**
 * The reason why a CBOR message was rejected:
 *
 * - `truncated`: it ends inside a value
 * - `trailing`: bytes follow the value
 * - `malformed`: it is not well-formed (RFC 8949 §3, appendix F)
 * - `invalid`: it is well-formed, but has invalid UTF-8, a duplicate key, the key `__proto__`, or invalid content of a tag
 *   (RFC 8949 §5.3)
 * - `limit`: it exceeds one of the decoder's limits
 */
export type CborErrorCode = "truncated" | "trailing" | "malformed" | "invalid" | "limit";

/**
 * The error of decoding CBOR; no other is thrown.
 *
 * @example
 * ```ts
 * import { CborCodec, CborError, decode } from "@troodon/rpc/codec";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const error = assertThrows(() => decode(new CborCodec(), Uint8Array.of(0x82, 0x01)), CborError);
 * assertEquals(error.code, "truncated");
 * assertEquals(error.offset, 1);
 * ```
 */
export class CborError extends Error {
  /** Always `"CborError"`. */
  override readonly name = "CborError";
  /** The reason, for programs. */
  readonly code: CborErrorCode;
  /** Position of the error, in bytes from the start of the message. */
  readonly offset: number;

  /**
   * Creates the error of a decoder.
   *
   * @param code The reason
   * @param offset Position of the error, in bytes from the start of the message
   * @param reason The reason as text for people
   */
  constructor(code: CborErrorCode, offset: number, reason: string) {
    super(`Cannot decode CBOR at byte ${offset}: ${reason}`);
    this.code = code;
    this.offset = offset;
  }
}
