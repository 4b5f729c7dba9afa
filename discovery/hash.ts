// A fast hash of text, for balancers that hash. Not against attackers: whoever chooses the keys can make them meet.

/**
 * Hashes text to 32 bits: FNV-1a (Fowler, Noll, Vo: http://www.isthe.com/chongo/tech/comp/fnv/) over its UTF-16 units,
 * then the finalizer of MurmurHash3 (Appleby), without which similar texts would stay close to each other.
 *
 * @returns A whole number from 0 up to but not 2³²
 */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return mix(hash);
}

/** The finalizer of MurmurHash3: 32 bits to 32 others, no two to the same, as if at random. */
export function mix(bits: number): number {
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
