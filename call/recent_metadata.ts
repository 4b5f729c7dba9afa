// The metadata that calls were given last. Most calls of a program have the same: then it is checked and encoded once.

import { isText, type Metadata, type MetadataInit, shared, sharingOf, toMetadata } from "./metadata.ts";

/** Converts the metadata of many calls. */
export class RecentMetadata {
  #last: Metadata | undefined;

  /**
   * Does what {@linkcode toMetadata} does. From the second time on the same entries give the same map, which cannot be
   * changed then.
   *
   * @throws {TypeError | RangeError} If the metadata is invalid
   */
  of(init: MetadataInit | undefined): Metadata | undefined {
    if (init === undefined) return undefined;
    const last = this.#last;
    const repeats = last !== undefined && equal(init, last);
    if (repeats && sharingOf(last) !== undefined) return last;
    const metadata = toMetadata(init);
    if (metadata === undefined || sharingOf(metadata) !== undefined) return metadata;
    // Not the map of an earlier call, which its interceptors may still hold.
    if (repeats) return this.#last = shared(new Map(metadata));
    // Bytes could be changed.
    this.#last = isText(metadata) ? metadata : undefined;
    return metadata;
  }
}

/** Whether it has the entries of `last`, and no others. */
function equal(init: MetadataInit, last: Metadata): boolean {
  if (typeof init !== "object" || init === null) return false;
  let count = 0;
  if (init instanceof Map) {
    for (const [name, value] of init) {
      if (value === undefined || last.get(name) !== value) return false;
      count++;
    }
  } else {
    if (Object.getPrototypeOf(init) !== Object.prototype || Symbol.iterator in init) return false;
    for (const name in init) {
      const value = (init as Record<string, unknown>)[name];
      if (value === undefined || last.get(name) !== value) return false;
      count++;
    }
  }
  return count === last.size;
}
