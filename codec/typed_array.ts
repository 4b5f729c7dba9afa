// Converts typed arrays to CBOR byte strings with a tag (RFC 8746 §2) and back. Called by the CBOR encoder and decoder.

import { typedArrayName } from "../call/cross_realm.ts";

/** Any typed array of the platform. */
export type TypedArray = Exclude<ArrayBufferView<ArrayBuffer>, DataView>;

type TypedArrayClass = new (buffer: ArrayBuffer) => TypedArray;

interface ArrayType {
  readonly create: TypedArrayClass;
  readonly width: number;
  readonly littleEndian: boolean;
}

const HOST_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

// Name, big-endian tag, little-endian tag. Single bytes have only one.
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

const TYPES: ReadonlyMap<number, ArrayType> = types();
const TAGS: ReadonlyMap<string, number> = new Map(
  NAMES.map(([name, big, little]) => [name, HOST_LITTLE_ENDIAN ? little ?? big : big]),
);

function types(): Map<number, ArrayType> {
  const types = new Map<number, ArrayType>();
  for (const [name, big, little] of NAMES) {
    // Looked up by name, so that this file also loads in browsers without Float16Array.
    const create = Reflect.get(globalThis, name) as
      | TypedArrayClass & { BYTES_PER_ELEMENT: number }
      | undefined;
    if (create === undefined) continue;
    const width = create.BYTES_PER_ELEMENT;
    types.set(big, { create, width, littleEndian: false });
    if (little !== undefined) types.set(little, { create, width, littleEndian: true });
  }
  return types;
}

/** The tag of a typed array in the byte order of its memory, or undefined for a `DataView`. */
export function typedArrayTag(view: ArrayBufferView): number | undefined {
  // The built-in name identifies the class even of a subclass, and cannot be faked by a property.
  return TAGS.get(typedArrayName(view)!);
}

/** Whether `tag` is a tag of typed arrays. */
export function isTypedArrayTag(tag: number): boolean {
  return TYPES.has(tag);
}

/** Creates the typed array of a tag over `bytes`, which it takes ownership of; undefined if their length does not fit. */
export function typedArray(tag: number, bytes: Uint8Array<ArrayBuffer>): TypedArray | undefined {
  const { create, width, littleEndian } = TYPES.get(tag)!;
  if (bytes.length % width !== 0) return undefined;
  if (width > 1 && littleEndian !== HOST_LITTLE_ENDIAN) swapBytes(bytes, width);
  return new create(bytes.buffer);
}

/** Reverses the bytes of each element in place. A DataView for each element would take ten times as long. */
function swapBytes(bytes: Uint8Array, width: number): void {
  for (let begin = 0; begin < bytes.length; begin += width) {
    for (let low = begin, high = begin + width - 1; low < high; low++, high--) {
      const byte = bytes[low]!;
      bytes[low] = bytes[high]!;
      bytes[high] = byte;
    }
  }
}
