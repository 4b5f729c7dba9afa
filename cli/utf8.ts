// Text out of bytes that users hand in: strictly, since a replaced character would go to a server as if it had been
// written so.

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The text of bytes in UTF-8.
 *
 * @param start The offset of the first byte, for the error
 * @throws {TypeError} Which byte is not UTF-8
 */
export function fromUtf8(bytes: Uint8Array, start = 0): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new TypeError(`${wrongByte(bytes, start)} is not UTF-8`);
  }
}

/** Names the first byte of the first sequence that is not well-formed. */
function wrongByte(bytes: Uint8Array, start: number): string {
  let at = 0;
  while (isWellFormed(bytes.subarray(at, at + sizeOf(bytes[at]!)))) at += sizeOf(bytes[at]!);
  return `byte 0x${bytes[at]!.toString(16)} at offset ${start + at}`;
}

/** How many bytes a sequence has that begins so, if it is one. */
function sizeOf(lead: number): number {
  return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

function isWellFormed(sequence: Uint8Array): boolean {
  if (sequence[0]! < 0x80) return true;
  try {
    decoder.decode(sequence);
    return true;
  } catch {
    return false;
  }
}
