// A fast text hash for balancers. Not resistant to attacks: a client that chooses the keys can make them collide.

/**
 * Hashes text to 32 bits: FNV-1a (Fowler, Noll, Vo: http://www.isthe.com/chongo/tech/comp/fnv/) over its UTF-16 units, then
 * the finalizer of MurmurHash3 (Appleby), without which hashes of similar texts would be close to each other.
 *
 * @returns An integer from 0 to 2³² - 1
 */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return mix(hash);
}

/** The finalizer of MurmurHash3: a bijective mix of 32 bits. */
export function mix(bits: number): number {
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
