// The codecs of one side of a connection by media type. A server looks up the handshake's codecType, a client its own option.

import { CborCodec } from "./cbor.ts";
import type { Codec } from "./codec.ts";
import { JsonCodec } from "./json.ts";

// RFC 6838 §4.2, in lower case so that a name has one spelling.
const MEDIA_TYPE = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$/;

/**
 * Codecs by media type.
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
   * Creates a table.
   *
   * @param codecs The initial codecs; none by default
   * @throws {TypeError} If a codec is invalid or its name is registered already
   */
  constructor(codecs: Iterable<Codec> = []) {
    for (const codec of codecs) this.register(codec);
  }

  /**
   * Creates a table with the standard codecs, `application/cbor` and `application/json`.
   *
   * @param codecs Additional codecs; one with a standard name replaces the standard codec
   * @throws {TypeError} If a codec is invalid, or a name occurs twice
   */
  static standard(codecs: Iterable<Codec> = []): CodecTable {
    const table = new CodecTable([new CborCodec(), new JsonCodec()]);
    for (const [name, codec] of new CodecTable(codecs).#codecs) table.#codecs.set(name, codec);
    return table;
  }

  /** The names of all codecs, in the order of registration. */
  get names(): string[] {
    return [...this.#codecs.keys()];
  }

  /**
   * Adds a codec.
   *
   * @param codec The codec; its name is a media type in lower case without parameters (RFC 6838 §4.2)
   * @throws {TypeError} If it is not a codec, its name is invalid, or the name is registered already
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

  /** The codec with that name, or undefined. */
  get(name: string): Codec | undefined {
    return this.#codecs.get(name);
  }
}
