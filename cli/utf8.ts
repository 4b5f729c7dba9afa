// Strict UTF-8 decoding of user input: a replacement character would be sent to the server as if the user had
// typed it.

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Decodes UTF-8.
 *
 * @param start The offset of the first byte, for the error
 * @throws {TypeError} If a byte is not valid UTF-8; names the byte
 */
export function fromUtf8(bytes: Uint8Array, start = 0): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new TypeError(`${wrongByte(bytes, start)} is not UTF-8`);
  }
}

/** Describes the first byte of the first malformed sequence. */
function wrongByte(bytes: Uint8Array, start: number): string {
  let at = 0;
  while (isWellFormed(bytes.subarray(at, at + sizeOf(bytes[at]!)))) at += sizeOf(bytes[at]!);
  return `byte 0x${bytes[at]!.toString(16)} at offset ${start + at}`;
}

/** The length of a sequence with this lead byte, if it is well-formed. */
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
