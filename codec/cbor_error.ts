// Why bytes are not the one CBOR value they should be. Thrown by the decoder only.

/**
 * What is wrong with a CBOR message:
 *
 * - `truncated`: it ends inside a value
 * - `trailing`: bytes follow the value
 * - `malformed`: not well-formed (RFC 8949 §3, appendix F)
 * - `invalid`: well-formed, but refused: invalid UTF-8, a duplicate key, the key `__proto__`, the wrong content of
 *   a tag (RFC 8949 §5.3)
 * - `limit`: beyond one of the decoder's limits
 */
export type CborErrorCode = "truncated" | "trailing" | "malformed" | "invalid" | "limit";

/**
 * The only error that decoding CBOR throws.
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
  /** What is wrong, for programs. */
  readonly code: CborErrorCode;
  /** Where, in bytes from the beginning of the message. */
  readonly offset: number;

  /**
   * Makes the error of a decoder.
   *
   * @param code What is wrong
   * @param offset Where, in bytes from the beginning of the message
   * @param reason For people
   */
  constructor(code: CborErrorCode, offset: number, reason: string) {
    super(`Cannot decode CBOR at byte ${offset}: ${reason}`);
    this.code = code;
    this.offset = offset;
  }
}
