// Data that all peers send. Item i of a stream begins with the (i modulo 16)th letter.

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

/** Record i of a list. */
export function recordOf(i) {
  return { id: i, name: `user${i}`, email: `user${i}@example.com`, active: i % 2 === 0, score: i * 1.25 };
}

const lists = new Map();

/** The first `count` records. The list is created once, so that only its transfer is measured. */
export function recordList(count) {
  let list = lists.get(count);
  if (list === undefined) lists.set(count, list = Array.from({ length: count }, (_, i) => recordOf(i)));
  return list;
}
