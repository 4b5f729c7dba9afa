// The items of streams, the same for all peers: item i of a stream begins with the (i modulo 16)th letter.

const KINDS = 16;
const A = 97;

/** The first byte of item i of a stream. */
export function firstByte(i) {
  return A + i % KINDS;
}

/** @returns {Uint8Array<ArrayBuffer>[]} The items, used in turn */
export function byteItems(size) {
  return Array.from({ length: KINDS }, (_, i) => new Uint8Array(size).fill(120).fill(firstByte(i), 0, 1));
}

/** @returns {string[]} The items, used in turn */
export function textItems(size) {
  return Array.from({ length: KINDS }, (_, i) => String.fromCharCode(firstByte(i)) + "x".repeat(size - 1));
}
