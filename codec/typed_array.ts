// Typed arrays as CBOR byte strings with a tag (RFC 8746 §2), both ways. Called by the CBOR encoder and decoder.

import { typedArrayName } from "../call/realm.ts";

/** Any typed array of the platform. */
export type TypedArray = Exclude<ArrayBufferView<ArrayBuffer>, DataView>;

type TypedArrayClass = new (buffer: ArrayBuffer) => TypedArray;

interface Kind {
  readonly create: TypedArrayClass;
  readonly width: number;
  readonly littleEndian: boolean;
}

const HOST_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

// Name, tag in network byte order, tag in little-endian order; the order says nothing about single bytes.
const NAMES: readonly (readonly [string, number, number?])[] = [
  ["Uint8Array", 64],
  ["Uint16Array", 65, 69],
  ["Uint32Array", 66, 70],
  ["BigUint64Array", 67, 71],
  ["Uint8ClampedArray", 68],
  ["Int8Array", 72],
  ["Int16Array", 73, 77],
  ["Int32Array", 74, 78],
  ["BigInt64Array", 75, 79],
  ["Float16Array", 80, 84],
  ["Float32Array", 81, 85],
  ["Float64Array", 82, 86],
];

const KINDS: ReadonlyMap<number, Kind> = kinds();
const TAGS: ReadonlyMap<string, number> = new Map(
  NAMES.map(([name, big, little]) => [name, HOST_LITTLE_ENDIAN ? little ?? big : big]),
);

function kinds(): Map<number, Kind> {
  const kinds = new Map<number, Kind>();
  for (const [name, big, little] of NAMES) {
    // Looked up, not named: a browser without Float16Array shall still load this file.
    const create = Reflect.get(globalThis, name) as
      | TypedArrayClass & { BYTES_PER_ELEMENT: number }
      | undefined;
    if (create === undefined) continue;
    const width = create.BYTES_PER_ELEMENT;
    kinds.set(big, { create, width, littleEndian: false });
    if (little !== undefined) kinds.set(little, { create, width, littleEndian: true });
  }
  return kinds;
}

/** The tag for a typed array in the byte order that it has in memory, or undefined for a `DataView`. */
export function typedArrayTag(view: ArrayBufferView): number | undefined {
  // Asked of the language, it tells the kind even of a subclass, and is not fooled by a property.
  return TAGS.get(typedArrayName(view)!);
}

/** Whether `tag` is one of those for typed arrays. */
export function isTypedArrayTag(tag: number): boolean {
  return KINDS.has(tag);
}

/** Makes the typed array that `tag` names of `bytes`, which it takes over; undefined if their count does not fit. */
export function typedArray(tag: number, bytes: Uint8Array<ArrayBuffer>): TypedArray | undefined {
  const { create, width, littleEndian } = KINDS.get(tag)!;
  if (bytes.length % width !== 0) return undefined;
  if (width > 1 && littleEndian !== HOST_LITTLE_ENDIAN) swapBytes(bytes, width);
  return new create(bytes.buffer);
}

/** Reverses the bytes of each element. A view for each would take ten times as long. */
function swapBytes(bytes: Uint8Array, width: number): void {
  for (let begin = 0; begin < bytes.length; begin += width) {
    for (let low = begin, high = begin + width - 1; low < high; low++, high--) {
      const byte = bytes[low]!;
      bytes[low] = bytes[high]!;
      bytes[high] = byte;
    }
  }
}
