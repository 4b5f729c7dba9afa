// What streams are made of, the same for everyone: item i of a stream begins with the (i modulo 16)th letter.

const KINDS = 16;
const A = 97;

/** What item i of a stream begins with. */
export function firstByte(i) {
  return A + i % KINDS;
}

/** @returns {Uint8Array<ArrayBuffer>[]} The items that come in turn */
export function byteItems(size) {
  return Array.from({ length: KINDS }, (_, i) => new Uint8Array(size).fill(120).fill(firstByte(i), 0, 1));
}

/** @returns {string[]} The items that come in turn */
export function textItems(size) {
  return Array.from({ length: KINDS }, (_, i) => String.fromCharCode(firstByte(i)) + "x".repeat(size - 1));
}
