// What the items of CBOR messages cost, of which `maxItems` allows a decoder so much. The encoder counts the same, to warn of
// messages that a decoder would reject.

/**
 * What items cost, in 64ths of an item of `maxItems`: each at most what it takes of memory (300 bytes an item) and of time
 * (0.5 µs). Each item has cost 1 already, as an element of an array or as a value of a map.
 */
export const Cost = {
  item: 64,
  text: 15,
  array: 15,
  /** An array of indefinite length, in addition: V8 allocates elements in advance. */
  growing: 48,
  map: 15,
  /** A byte string, in addition to the item that creating its Uint8Array costs. */
  bytes: 63,
  /** A key, if it was predicted from other maps. */
  key: 3,
  /** Any other key, in addition: V8 has to make a hidden class for objects with it. */
  newKey: 124,
  /** The map of such a key, in addition. */
  newMap: 48,
  /** An entry of a Map or an element of a Set, which are entered into a hash table. */
  entry: 112,
  /** A Map, a Set, a Date or a Simple, in addition to its tag. */
  object: 48,
} as const;

/** What the items of a message may cost at most. */
export function budget(maxItems: number): number {
  // The value itself is not among its items.
  return (maxItems + 1) * Cost.item - 1;
}
