// Half-precision floats (RFC 8949, appendix D). Called by the CBOR decoder, since DataView supports them only in recent engines.

/** The number represented by the 16 bits of a half-precision float. */
export function half(bits: number): number {
  const exponent = bits >> 10 & 31;
  const mantissa = bits & 1023;
  const size = exponent === 0
    ? mantissa * 2 ** -24
    : exponent === 31
    ? (mantissa === 0 ? Infinity : NaN)
    : (mantissa + 1024) * 2 ** (exponent - 25);
  return bits & 0x8000 ? -size : size;
}
