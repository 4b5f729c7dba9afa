// CBOR (RFC 8949) to values. Called by CborCodec with the bytes of one message, which come from a peer: every
// read is checked against the message's end and every declared count against the limits before anything is
// allocated for it.

import { Cost } from "./cbor_cost.ts";
import type { CborError } from "./cbor_error.ts";
import { ARRAY, BYTES, CborReader, INDEFINITE, MAP, TAG, TEXT } from "./cbor_reader.ts";
import { dateOfSeconds, parseDateTime } from "./date_time.ts";
import { half } from "./half.ts";
import { toHex } from "./hex.ts";
import { KeyCache } from "./key_cache.ts";
import { tooLongInteger, tooLongKey } from "./limit.ts";
import { NumericKeys } from "./numeric_keys.ts";
import { COUNTED_SOONER, MAX_PREDICTED, propertyCount, type Shape, Shapes } from "./shapes.ts";
import { Simple, Tagged } from "./tagged.ts";
import { isTypedArrayTag, typedArray } from "./typed_array.ts";

/** What a decoder takes at most; meaning and defaults are those of `CborOptions`. */
export interface CborLimits {
  readonly maxDepth: number;
  readonly maxItems: number;
  readonly maxBignumBytes: number;
  readonly maxKeyBytes: number;
  readonly maxNumericKeys: number;
}

/** Decodes one message after the other; what it keeps between them are bounded caches of short texts. */
export class CborDecoder {
  readonly #limits: CborLimits;
  readonly #reader: CborReader;
  readonly #keys = new KeyCache();
  readonly #shapes = new Shapes();
  /** Of the current message; undefined until it has a Map or a Set. */
  #numericKeys: NumericKeys | undefined;

  constructor(limits: CborLimits) {
    this.#limits = limits;
    this.#reader = new CborReader(limits.maxItems);
  }

  /**
   * Decodes the one value in `bytes[start]` to `bytes[end - 1]`.
   *
   * @throws {CborError} If that is not what is there, or goes beyond a limit
   */
  decode(bytes: Uint8Array, start: number, end: number): unknown {
    const reader = this.#reader;
    reader.begin(bytes, start, end);
    this.#numericKeys = undefined;
    try {
      const value = this.#item(0);
      if (reader.at !== end) {
        throw reader.error("trailing", reader.at, `${end - reader.at} bytes follow the value`);
      }
      return value;
    } finally {
      reader.release();
    }
  }

  #item(depth: number): unknown {
    const reader = this.#reader;
    const at = reader.at;
    if (at >= reader.end) throw reader.truncated();
    const first = reader.bytes[at]!;
    reader.at = at + 1;
    const info = first & 31;
    switch (first >> 5) {
      case 0:
        return info < 24 ? info : reader.unsigned(info);
      case 1:
        return info < 24 ? -1 - info : reader.negative(info);
      case BYTES:
        reader.charge(Cost.bytes);
        return reader.byteString(info);
      case TEXT:
        reader.charge(Cost.text);
        return info === INDEFINITE
          ? reader.chunkedText()
          : reader.text(info < 24 ? info : reader.argument(info));
      case ARRAY:
        return this.#array(info, depth);
      case MAP:
        return this.#map(info, depth);
      case TAG:
        return this.#tagged(info, depth);
      default:
        return this.#simple(info);
    }
  }

  #chargeKey(key: unknown): void {
    const numericKeys = this.#numericKeys ??= new NumericKeys(this.#limits.maxNumericKeys);
    const refusal = numericKeys.charge(key);
    if (refusal !== undefined) throw this.#reader.error("limit", this.#reader.at, refusal);
  }

  #enter(depth: number): void {
    const { maxDepth } = this.#limits;
    if (depth < maxDepth) return;
    const reason = `more than ${maxDepth} values within each other (maxDepth)`;
    throw this.#reader.error("limit", this.#reader.at - 1, reason);
  }

  #array(info: number, depth: number): unknown[] {
    const reader = this.#reader;
    this.#enter(depth);
    reader.charge(Cost.array);
    if (info === INDEFINITE) return this.#arrayToBreak(depth);
    const count = reader.argument(info);
    reader.declare(count, 1);
    const array = new Array<unknown>(count);
    for (let i = reader.numbers(array, count); i < count; i++) array[i] = this.#item(depth + 1);
    return array;
  }

  #arrayToBreak(depth: number): unknown[] {
    this.#reader.charge(Cost.growing);
    const array: unknown[] = [];
    while (!this.#reader.breaks(1)) array.push(this.#item(depth + 1));
    return array;
  }

  /** A map as a plain object, or as a Map from the first key on that is no text. */
  #map(info: number, depth: number): object {
    const reader = this.#reader;
    this.#enter(depth);
    const head = reader.at - 1;
    reader.charge(Cost.map);
    const count = this.#entries(info, 1 + Cost.key);
    const object: Record<string, unknown> = {};
    // Undefined from the first key on that is not remembered.
    let shape = count > MAX_PREDICTED ? undefined : this.#shapes.root as Shape | undefined;
    let read = 0;
    let predicted = true;
    for (; count < 0 ? !reader.breaks(1 + Cost.key) : read < count; read++) {
      const next = shape?.follow(reader.bytes, reader.at, reader.end);
      let key: string;
      if (next !== undefined) {
        key = next.key;
        reader.at += next.size;
        shape = next;
      } else {
        if (reader.bytes[reader.at]! >> 5 !== TEXT) return this.#mixedMap(object, head, count, read, depth);
        reader.charge(predicted ? Cost.newKey + Cost.newMap : Cost.newKey);
        predicted = false;
        const at = reader.at;
        key = this.#textKey();
        if (key === "__proto__") throw reader.error("invalid", at, "the key __proto__ is refused");
        if (shape !== undefined) shape = this.#shapes.learn(shape, key, reader.bytes, at, reader.at);
      }
      const value = this.#item(depth + 1);
      // V8 caches, for each place in the code, which name was stored there; the first names of messages are often the same.
      if (read === 0) object[key] = value;
      else if (read === 1) object[key] = value;
      else if (read === 2) object[key] = value;
      else object[key] = value;
    }
    if (shape === undefined || !shape.distinct) this.#checkDistinct(object, read, head);
    shape?.complete(object, read);
    return object;
  }

  #checkDistinct(object: object, read: number, head: number): void {
    if (read > 1 && (read > COUNTED_SOONER || propertyCount(object) !== read)) {
      if (Object.keys(object).length !== read) throw this.#duplicate(head);
    }
  }

  /** Continues a map as a Map after `read` entries, since the next key is not a text. */
  #mixedMap(
    object: Record<string, unknown>,
    head: number,
    count: number,
    read: number,
    depth: number,
  ): Map<unknown, unknown> {
    const map = new Map<unknown, unknown>();
    for (const key of Object.keys(object)) {
      this.#chargeKey(key);
      map.set(key, object[key]);
    }
    if (map.size !== read) throw this.#duplicate(head);
    this.#reader.charge(Cost.object + Math.max(read, count) * Cost.entry);
    return this.#fill(map, count, read, depth);
  }

  /** Reads a map's number of entries and charges `each` for them; -1 if it ends by a break. */
  #entries(info: number, each: number): number {
    const reader = this.#reader;
    if (info === INDEFINITE) return -1;
    const count = reader.argument(info);
    reader.declare(2 * count, each / 2);
    return count;
  }

  #textKey(): string {
    const reader = this.#reader;
    const at = reader.at++;
    const info = reader.bytes[at]! & 31;
    if (info === INDEFINITE) return this.#chunkedKey(at);
    const length = info < 24 ? info : reader.argument(info);
    if (length > this.#limits.maxKeyBytes) throw this.#keyTooLong(at);
    const start = reader.take(length);
    return reader.utf8(this.#keys.get(reader.bytes, start, start + length), start);
  }

  #chunkedKey(at: number): string {
    const reader = this.#reader;
    const key = reader.chunkedText();
    if (reader.at - at > this.#limits.maxKeyBytes) throw this.#keyTooLong(at);
    return key;
  }

  #keyTooLong(at: number): CborError {
    return this.#reader.error("limit", at, tooLongKey(this.#limits.maxKeyBytes));
  }

  /** Reads the entries of a map into `map`, of which `read` are there already. */
  #fill(
    map: Map<unknown, unknown>,
    count: number,
    read: number,
    depth: number,
  ): Map<unknown, unknown> {
    const reader = this.#reader;
    // Keys that are objects are compared by their encoding.
    const encodings = new Set<string>();
    for (; count < 0 ? !reader.breaks(Cost.entry) : read < count; read++) {
      const start = reader.at;
      const key = this.#key(depth);
      if (typeof key === "object" && key !== null) {
        reader.charge((reader.at - start >> 4) * Cost.item); // as a bignum's, since keys within keys are looked at again
        const encoding = toHex(reader.bytes.subarray(start, reader.at));
        if (encodings.has(encoding)) throw this.#duplicate(start);
        encodings.add(encoding);
      } else {
        this.#chargeKey(key);
      }
      map.set(key, this.#item(depth + 1));
      if (map.size === read) throw this.#duplicate(start);
    }
    return map;
  }

  #key(depth: number): unknown {
    const reader = this.#reader;
    const start = reader.at;
    if (start < reader.end && reader.bytes[start]! >> 5 === TEXT) return this.#textKey();
    const key = this.#item(depth + 1);
    if (reader.at - start > this.#limits.maxKeyBytes) throw this.#keyTooLong(start);
    return key;
  }

  #tagged(info: number, depth: number): unknown {
    const reader = this.#reader;
    const head = reader.at - 1;
    const tag = reader.unsigned(info);
    reader.declare(1, Cost.item);
    switch (tag) {
      case 0:
        return this.#date(head, parseDateTime(this.#content(head, TEXT, depth) as string));
      case 1:
        return this.#epoch(head, depth);
      case 2:
        return this.#bignum(head);
      case 3:
        return -1n - this.#bignum(head);
      case 258:
        return this.#set(head, this.#content(head, ARRAY, depth) as unknown[]);
      case 259:
        return this.#realMap(head, depth);
      case 55_799: // marks data as CBOR (RFC 8949 §3.4.6)
        this.#enter(depth);
        return this.#item(depth + 1);
    }
    if (typeof tag === "number" && isTypedArrayTag(tag)) {
      const array = typedArray(tag, this.#content(head, BYTES, depth) as Uint8Array<ArrayBuffer>);
      if (array === undefined) throw reader.error("invalid", head, "the bytes of a typed array are too few");
      return array;
    }
    this.#enter(depth);
    return new Tagged(tag, this.#item(depth + 1));
  }

  /** Reads the content of a tag, which must be of the type that the tag wants. */
  #content(head: number, major: number, depth: number): unknown {
    this.#expect(head, major);
    return this.#item(depth);
  }

  #expect(head: number, major: number): void {
    const reader = this.#reader;
    if (reader.at >= reader.end) throw reader.truncated();
    if (reader.bytes[reader.at]! >> 5 !== major) throw this.#wrongContent(head);
  }

  #wrongContent(head: number): CborError {
    return this.#reader.error("invalid", head, "a tag has the wrong content");
  }

  #date(head: number, date: Date | undefined): Date {
    if (date === undefined) {
      throw this.#reader.error("invalid", head, "a date is not as in RFC 3339, or out of range");
    }
    this.#reader.charge(Cost.object);
    return date;
  }

  #epoch(head: number, depth: number): Date {
    const reader = this.#reader;
    const first = reader.bytes[reader.at]!;
    // A tag in here would let tags nest without end.
    if (reader.at < reader.end && first >> 5 > 1 && (first < 0xf9 || first > 0xfb)) {
      throw this.#wrongContent(head);
    }
    return this.#date(head, dateOfSeconds(Number(this.#item(depth))));
  }

  #bignum(head: number): bigint {
    const reader = this.#reader;
    this.#expect(head, BYTES);
    const info = reader.bytes[reader.at++]! & 31;
    const { maxBignumBytes } = this.#limits;
    if (info < 7 && info <= maxBignumBytes) {
      // Up to 48 bits are an exact number on the way.
      let value = 0;
      for (let at = reader.take(info); at < reader.at; at++) value = value * 256 + reader.bytes[at]!;
      return BigInt(value);
    }
    const bytes = reader.byteString(info);
    if (bytes.length > maxBignumBytes) {
      throw reader.error("limit", head, tooLongInteger(maxBignumBytes));
    }
    // As many bytes as a small item takes time.
    reader.charge((bytes.length >> 4) * Cost.item);
    // By way of hex, since shifting in byte by byte takes quadratic time.
    return bytes.length === 0 ? 0n : BigInt(`0x${toHex(bytes)}`);
  }

  #set(head: number, values: unknown[]): Set<unknown> {
    const reader = this.#reader;
    reader.charge(Math.max(Cost.object, values.length * Cost.entry));
    for (const value of values) this.#chargeKey(value);
    const set = new Set(values);
    if (set.size !== values.length) throw reader.error("invalid", head, "a set holds a value twice");
    return set;
  }

  #realMap(head: number, depth: number): Map<unknown, unknown> {
    const reader = this.#reader;
    this.#expect(head, MAP);
    const info = reader.bytes[reader.at++]! & 31;
    this.#enter(depth);
    reader.charge(Cost.object);
    return this.#fill(new Map(), this.#entries(info, Cost.entry), 0, depth);
  }

  #simple(info: number): unknown {
    const reader = this.#reader;
    switch (info) {
      case 20:
        return false;
      case 21:
        return true;
      case 22:
        return null;
      case 23:
        return undefined;
      case 25:
        return half(reader.argument(info));
      case 26:
        return reader.float32();
      case 27:
        return reader.float64();
      case INDEFINITE:
        throw reader.error("malformed", reader.at - 1, "a break where none can be");
    }
    const head = reader.at - 1;
    const number = reader.argument(info);
    if (info === 24 && number < 32) {
      throw reader.error("malformed", head, "a simple value of two bytes below 32");
    }
    reader.charge(Cost.object);
    return new Simple(number);
  }

  #duplicate(at: number): CborError {
    return this.#reader.error("invalid", at, "a map has a key twice");
  }
}
