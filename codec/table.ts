// The codecs that a side of a connection offers, by media type. A server looks up what the handshake's codecType
// names, a client what it was told to speak.

import { CborCodec } from "./cbor.ts";
import type { Codec } from "./codec.ts";
import { JsonCodec } from "./json.ts";

// RFC 6838 §4.2, in lower case so that a name has one spelling.
const MEDIA_TYPE = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$/;

/**
 * Codecs by name.
 *
 * @example
 * ```ts
 * import { type Codec, CodecTable } from "@troodon/rpc/codec";
 * import { assertEquals } from "@std/assert";
 *
 * const text: Codec = {
 *   name: "text/plain",
 *   encode: (value, out) => out.append(new TextEncoder().encode(String(value))),
 *   decode: (bytes, start, end) => new TextDecoder().decode(bytes.subarray(start, end)),
 * };
 * const table = CodecTable.standard();
 * table.register(text);
 * assertEquals(table.names, ["application/cbor", "application/json", "text/plain"]);
 * assertEquals(table.get("text/plain"), text);
 * ```
 */
export class CodecTable {
  readonly #codecs = new Map<string, Codec>();

  /**
   * Makes a table of these codecs.
   *
   * @param codecs The codecs to begin with; none by default
   * @throws {TypeError} If one could not be registered
   */
  constructor(codecs: Iterable<Codec> = []) {
    for (const codec of codecs) this.register(codec);
  }

  /**
   * A table of its own with the two standard codecs, `application/cbor` and `application/json`.
   *
   * @param codecs Further ones; one of a standard name takes that one's place
   * @throws {TypeError} If one of them could not be registered
   */
  static standard(codecs: Iterable<Codec> = []): CodecTable {
    const table = new CodecTable([new CborCodec(), new JsonCodec()]);
    for (const [name, codec] of new CodecTable(codecs).#codecs) table.#codecs.set(name, codec);
    return table;
  }

  /** The names of all codecs, in the order in which they were registered. */
  get names(): string[] {
    return [...this.#codecs.keys()];
  }

  /**
   * Adds a codec.
   *
   * @param codec Its name is a media type in lower case without parameters (RFC 6838 §4.2)
   * @throws {TypeError} If it is no codec, its name is none, or is taken
   */
  register(codec: Codec): void {
    const { name, encode, decode } = Object(codec) as Codec;
    if (typeof encode !== "function" || typeof decode !== "function") {
      throw new TypeError("Cannot register codec: expected an object with name, encode and decode");
    }
    if (typeof name !== "string" || !MEDIA_TYPE.test(name)) {
      throw new TypeError(`Cannot register codec: ${JSON.stringify(name)} is not a media type in lower case`);
    }
    if (this.#codecs.has(name)) throw new TypeError(`Cannot register codec: ${name} is registered already`);
    this.#codecs.set(name, codec);
  }

  /** The codec of that name, or undefined if there is none. */
  get(name: string): Codec | undefined {
    return this.#codecs.get(name);
  }
}
