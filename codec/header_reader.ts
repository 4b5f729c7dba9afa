// Reads the CBOR of frame headers: unsigned integers, text, bytes and one flat map, all of definite length. Fields are read in
// place one by one, so that nothing but their values is allocated. Bodies are decoded by the codec.

import { isMetadataName, MAX_METADATA_ENTRIES, type Metadata, shared } from "../call/metadata.ts";
import { RpcError } from "../call/error.ts";
import { MAX_HEADER_BYTES } from "./frame.ts";
import type { KeyCache } from "./key_cache.ts";

/** Maximum length of metadata that is kept for the next frame of the connection, in bytes. */
const MAX_SHARED_BYTES = 1_024;
const NO_BYTES = new Uint8Array(0);

/** Reads header fields in order, from `at` up to `limit`. Owned by one frame decoder. */
export class HeaderReader {
  /** Position of the next field. */
  at = 0;
  #bytes: Uint8Array = new Uint8Array(0);
  #limit = 0;
  #limited = false;
  readonly #names: KeyCache;
  /** The encoding of the last metadata that calls may share, and once it was repeated, the metadata. */
  #lastMetadata: Metadata | undefined = undefined;
  #lastBytes: Uint8Array = NO_BYTES;
  #lastLength = 0;
  /** Whether the values of the metadata being read are text so far. */
  #isText = true;

  /** @param names Cache of recent names; shared between connections, since it is larger than the rest of one connection */
  constructor(names: KeyCache) {
    this.#names = names;
  }

  /**
   * Starts reading another header.
   *
   * @param limited Whether `limit` is the maximum header length rather than the end of the frame: selects the error for a
   *   header that exceeds it
   */
  start(bytes: Uint8Array, at: number, limit: number, limited: boolean): void {
    this.#bytes = bytes;
    this.at = at;
    this.#limit = limit;
    this.#limited = limited;
  }

  /** Reads the head of an array and returns its number of elements. */
  array(): number {
    return this.#head(4, "an array");
  }

  /** Reads an unsigned integer up to 2^53-1. */
  uint(what: string): number {
    const at = this.at;
    const bytes = this.#bytes;
    // Every frame has one or two of these: the common sizes are read without a loop.
    if (at + 5 <= this.#limit) {
      const byte = bytes[at]!;
      if (byte < 24) {
        this.at = at + 1;
        return byte;
      }
      if (byte === 25) {
        this.at = at + 3;
        return bytes[at + 1]! << 8 | bytes[at + 2]!;
      }
      if (byte === 26) {
        this.at = at + 5;
        return (bytes[at + 1]! << 24 | bytes[at + 2]! << 16 | bytes[at + 3]! << 8 | bytes[at + 4]!) >>> 0;
      }
    }
    return this.#head(0, what);
  }

  /** Reads a text; repeated short ones cost only a look-up. */
  text(what: string): string {
    const length = this.#head(3, what);
    const start = this.#take(length);
    const text = this.#names.get(this.#bytes, start, this.at);
    if (text === undefined) throw malformed(`${what} is not valid UTF-8`);
    return text;
  }

  /** Reads a metadata map. From the second time on the same bytes give the same map, which cannot be changed then. */
  metadata(): Metadata {
    const start = this.at;
    const repeats = this.#repeats(start);
    if (repeats && this.#lastMetadata !== undefined) {
      this.at = start + this.#lastLength;
      return this.#lastMetadata;
    }
    this.#isText = true;
    const metadata = this.#newMetadata();
    if (repeats) return this.#lastMetadata = shared(metadata);
    this.#lastMetadata = undefined;
    this.#keep(start);
    return metadata;
  }

  /** Whether the metadata from `start` on is the last one. */
  #repeats(start: number): boolean {
    const length = this.#lastLength;
    const last = this.#lastBytes;
    if (length === 0 || length > this.#limit - start) return false;
    for (let i = 0; i < length; i++) if (last[i] !== this.#bytes[start + i]) return false;
    return true;
  }

  /** Keeps the encoding of the metadata from `start` on, unless it is long or has bytes, which the application may change. */
  #keep(start: number): void {
    const length = this.at - start;
    const keeps = this.#isText && length <= MAX_SHARED_BYTES;
    this.#lastLength = keeps ? length : 0;
    if (!keeps) return;
    if (length > this.#lastBytes.length) this.#lastBytes = new Uint8Array(2 * length);
    // In place, and in a loop: most metadata is short, and that of each call may differ.
    for (let i = 0; i < length; i++) this.#lastBytes[i] = this.#bytes[start + i]!;
  }

  #newMetadata(): Map<string, string | Uint8Array> {
    const count = this.#head(5, "metadata");
    if (count > MAX_METADATA_ENTRIES) {
      throw new RpcError(
        "resource_exhausted",
        `Cannot decode frame: ${count} metadata entries are more than ${MAX_METADATA_ENTRIES}`,
      );
    }
    const metadata = new Map<string, string | Uint8Array>();
    for (let i = 0; i < count; i++) {
      const name = this.text("a metadata name");
      if (!isMetadataName(name)) throw malformed("a metadata name is not 1 to 64 of a-z 0-9 - _ .");
      if (metadata.has(name)) throw malformed(`duplicate metadata name "${name}"`);
      metadata.set(name, this.#value(name));
    }
    return metadata;
  }

  #value(name: string): string | Uint8Array {
    if (this.#peek() >> 5 !== 2) return this.text(`metadata "${name}"`);
    this.#isText = false;
    const length = this.#head(2, "metadata");
    const start = this.#take(length);
    return this.#bytes.slice(start, this.at);
  }

  /** Reads the head of an item of the `major` type, and returns its argument. */
  #head(major: number, what: string): number {
    const byte = this.#peek();
    if (byte >> 5 !== major) throw malformed(`${what} is of the wrong type`);
    const info = byte & 31;
    this.at++;
    if (info < 24) return info;
    if (info > 27) throw malformed(`${what} is not of definite length`);
    const size = 1 << (info - 24);
    let at = this.#take(size);
    let n = 0;
    for (; at < this.at; at++) n = n * 256 + this.#bytes[at]!;
    if (n > Number.MAX_SAFE_INTEGER) throw malformed(`${what} is above 2^53-1`);
    return n;
  }

  #peek(): number {
    if (this.at >= this.#limit) throw this.#short();
    return this.#bytes[this.at]!;
  }

  /** Advances by `length` bytes and returns the previous position. */
  #take(length: number): number {
    const start = this.at;
    if (length > this.#limit - start) throw this.#short();
    this.at = start + length;
    return start;
  }

  #short(): RpcError {
    return this.#limited
      ? new RpcError(
        "resource_exhausted",
        `Cannot decode frame: its header is longer than ${MAX_HEADER_BYTES} bytes`,
      )
      : malformed("its header ends too early");
  }
}

/** The error of a header that violates the protocol. */
export function malformed(what: string): RpcError {
  return new RpcError("invalid_argument", `Cannot decode frame: ${what}`);
}
