// CBOR (RFC 8949) to values. Called by CborCodec with the bytes of one message, which come from a peer: every
// read is checked against the message's end and every declared count against the limits before anything is
// allocated for it.

import { CborError, type CborErrorCode } from "./cbor_error.ts";
import { dateOfSeconds, parseDateTime } from "./date_time.ts";
import { half } from "./half.ts";
import { toHex } from "./hex.ts";
import { KeyCache } from "./key_cache.ts";
import { LONGEST_NUMERAL, Numerals } from "./numerals.ts";
import { Simple, Tagged } from "./tagged.ts";
import { decodeText } from "./text.ts";
import { isTypedArrayTag, typedArray } from "./typed_array.ts";

/** What a decoder takes at most; meaning and defaults are those of `CborOptions`. */
export interface CborLimits {
  readonly maxDepth: number;
  readonly maxItems: number;
  readonly maxBignumBytes: number;
  readonly maxKeyBytes: number;
  readonly maxNumericKeys: number;
}

const BYTES = 2;
const TEXT = 3;
const ARRAY = 4;
const MAP = 5;
const TAG = 6;

const INDEFINITE = 31;
const BREAK = 0xff;

// A value's text of so few bytes is built in less time than it is found in a cache.
const BUILT_SOONER = 8;

// Up to so many properties are counted sooner than they are put into an array.
const COUNTED_SOONER = 64;

// A Map or Set of more than 8192 texts has at least as many places as this.
const NUMERAL_PLACES = 4_096;

const NINE = 0x39;
const DIGITS = /^\d+$/;

const NOTHING = new Uint8Array(0);

/** Decodes one message after the other; what it keeps between them are bounded caches of short texts. */
export class CborDecoder {
  readonly #limits: CborLimits;
  readonly #keys = new KeyCache();
  readonly #texts = new KeyCache();
  readonly #scratch = new DataView(new ArrayBuffer(8));
  #bytes: Uint8Array = NOTHING;
  #start = 0;
  #at = 0;
  #end = 0;
  #itemsLeft = 0;
  #numericKeysLeft = 0;
  #numerals: Numerals | undefined;

  constructor(limits: CborLimits) {
    this.#limits = limits;
  }

  /**
   * Decodes the one value in `bytes[start]` to `bytes[end - 1]`.
   *
   * @throws {CborError} If that is not what is there, or goes beyond a limit
   */
  decode(bytes: Uint8Array, start: number, end: number): unknown {
    this.#bytes = bytes;
    this.#start = this.#at = start;
    this.#end = end;
    this.#itemsLeft = this.#limits.maxItems;
    this.#numericKeysLeft = this.#limits.maxNumericKeys;
    this.#numerals = undefined;
    try {
      const value = this.#item(0);
      if (this.#at !== end) {
        throw this.#error("trailing", this.#at, `${end - this.#at} bytes follow the value`);
      }
      return value;
    } finally {
      this.#bytes = NOTHING; // or an idle connection would keep its last chunk
    }
  }

  #item(depth: number): unknown {
    const at = this.#at;
    if (at >= this.#end) throw this.#truncated();
    const first = this.#bytes[at]!;
    this.#at = at + 1;
    const info = first & 31;
    switch (first >> 5) {
      case 0:
        return info < 24 ? info : this.#unsigned(info);
      case 1:
        return info < 24 ? -1 - info : this.#negative(info);
      case BYTES:
        return this.#byteString(info);
      case TEXT:
        return info === INDEFINITE ? this.#chunkedText() : this.#text(this.#argument(info));
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

  /** The number in or behind a head, rounded if it is beyond 53 bits; `#wide` has it exactly then. */
  #argument(info: number): number {
    if (info < 24) return info;
    const bytes = this.#bytes;
    let at = this.#at;
    const size = info < 28 ? 1 << (info - 24) : 0;
    if (size === 0) throw this.#error("malformed", at - 1, "reserved additional information");
    if (size > this.#end - at) throw this.#truncated();
    this.#at = at + size;
    if (size === 1) return bytes[at]!;
    if (size === 2) return bytes[at]! << 8 | bytes[at + 1]!;
    if (size === 4) {
      return (bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!) >>> 0;
    }
    let value = 0;
    for (; at < this.#at; at++) value = value * 256 + bytes[at]!;
    return value;
  }

  /** The 64 bits that were read last, exactly. */
  #wide(): bigint {
    this.#load(this.#at - 8);
    return this.#scratch.getBigUint64(0);
  }

  /** Fills the scratch with the eight bytes at `at`. */
  #load(at: number): void {
    const bytes = this.#bytes;
    const scratch = this.#scratch;
    scratch.setInt32(0, bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!);
    scratch.setInt32(4, bytes[at + 4]! << 24 | bytes[at + 5]! << 16 | bytes[at + 6]! << 8 | bytes[at + 7]!);
  }

  #unsigned(info: number): number | bigint {
    const value = this.#argument(info);
    return value <= Number.MAX_SAFE_INTEGER ? value : this.#wide();
  }

  #negative(info: number): number | bigint {
    const value = this.#argument(info);
    return value < Number.MAX_SAFE_INTEGER ? -1 - value : -1n - this.#wide();
  }

  /** Takes `count` bytes, of which there must be as many; returns where they begin. */
  #take(count: number): number {
    const at = this.#at;
    if (count > this.#end - at) throw this.#truncated();
    this.#at = at + count;
    return at;
  }

  /** Charges `count` items that were declared, each of which takes a byte at least. */
  #charge(count: number): void {
    if (count > this.#end - this.#at) throw this.#truncated();
    this.#chargeTime(count);
  }

  /** Charges what takes the time of `count` items. */
  #chargeTime(count: number): void {
    this.#itemsLeft -= count;
    if (this.#itemsLeft < 0) {
      throw this.#error("limit", this.#at, `more than ${this.#limits.maxItems} items (maxItems)`);
    }
  }

  /** Whether the item that goes on until a break ends here; if not, one more item is charged. */
  #breaks(): boolean {
    if (this.#at < this.#end && this.#bytes[this.#at] === BREAK) {
      this.#at++;
      return true;
    }
    this.#charge(1);
    return false;
  }

  /**
   * Charges a key of a Map or an element of a Set, if it is a number: V8 hashes numbers without a secret, and of big
   * ones only 64 bits, so that a peer can choose any number of them that collide and take quadratic time.
   */
  #chargeKey(key: unknown): void {
    if (typeof key === "string") {
      return key.length > LONGEST_NUMERAL || key.charCodeAt(0) > NINE ? undefined : this.#countNumeral(key);
    }
    if (typeof key === "number") this.#numericKeysLeft--;
    // Comparing two big ones takes the longer the more bytes they have, up to maxBignumBytes.
    else if (typeof key === "bigint") {
      this.#numericKeysLeft -= key >> 64n === 0n || key >> 64n === -1n ? 2 : 8;
    } else return;
    if (this.#numericKeysLeft >= 0) return;
    const { maxNumericKeys } = this.#limits;
    throw this.#error("limit", this.#at, `more than ${maxNumericKeys} numbers as keys or in sets`);
  }

  /** Counts a text that is a number, which has no secret hash either. */
  #countNumeral(text: string): void {
    if (!DIGITS.test(text)) return;
    if ((this.#numerals ??= new Numerals(NUMERAL_PLACES)).add(Number(text))) return;
    throw this.#error(
      "limit",
      this.#at,
      "too many keys are numbers that differ by multiples of a power of two",
    );
  }

  #enter(depth: number): void {
    if (depth < this.#limits.maxDepth) return;
    throw this.#error(
      "limit",
      this.#at - 1,
      `more than ${this.#limits.maxDepth} values within each other (maxDepth)`,
    );
  }

  #byteString(info: number): Uint8Array<ArrayBuffer> {
    if (info === INDEFINITE) return this.#chunkedBytes();
    const length = this.#argument(info);
    const start = this.#take(length);
    this.#chargeTime(1); // on top of its own: making a Uint8Array takes long
    return new Uint8Array(this.#bytes.subarray(start, start + length));
  }

  #chunkedBytes(): Uint8Array<ArrayBuffer> {
    const chunks: Uint8Array[] = [];
    let length = 0;
    while (!this.#breaks()) {
      const size = this.#chunk(BYTES);
      const start = this.#take(size);
      chunks.push(this.#bytes.subarray(start, start + size));
      length += size;
    }
    if (chunks.length === 0) this.#chargeTime(1); // as of one that is not in chunks
    const whole = new Uint8Array(length);
    let at = 0;
    for (const chunk of chunks) {
      whole.set(chunk, at);
      at += chunk.length;
    }
    return whole;
  }

  #chunkedText(): string {
    let text = "";
    while (!this.#breaks()) text += this.#text(this.#chunk(TEXT));
    return text;
  }

  /** Reads the head of a chunk, which must have the string's own type and a length; returns the length. */
  #chunk(major: number): number {
    const first = this.#bytes[this.#at++]!;
    if (first >> 5 !== major || (first & 31) === INDEFINITE) {
      throw this.#error("malformed", this.#at - 1, "a string of chunks holds something else");
    }
    return this.#argument(first & 31);
  }

  #text(length: number): string {
    const start = this.#take(length);
    const text = length > BUILT_SOONER
      ? this.#texts.get(this.#bytes, start, start + length)
      : decodeText(this.#bytes, start, start + length);
    return this.#utf8(text, start);
  }

  #utf8(text: string | undefined, start: number): string {
    if (text === undefined) throw this.#error("invalid", start, "a text is not UTF-8");
    return text;
  }

  #array(info: number, depth: number): unknown[] {
    this.#enter(depth);
    if (info === INDEFINITE) return this.#arrayToBreak(depth);
    const count = this.#argument(info);
    this.#charge(count);
    const array = new Array<unknown>(count);
    for (let i = 0; i < count; i++) array[i] = this.#item(depth + 1);
    return array;
  }

  #arrayToBreak(depth: number): unknown[] {
    const array: unknown[] = [];
    while (!this.#breaks()) array.push(this.#item(depth + 1));
    return array;
  }

  /** A map as a plain object, or as a Map from the first key on that is no text. */
  #map(info: number, depth: number): object {
    this.#enter(depth);
    const head = this.#at - 1;
    const count = this.#entries(info);
    const object: Record<string, unknown> = {};
    let read = 0;
    for (; count < 0 ? !this.#breaks() : read < count; read++) {
      if (this.#bytes[this.#at]! >> 5 !== TEXT) return this.#mixedMap(object, head, count, read, depth);
      const at = this.#at;
      const key = this.#textKey();
      if (key === "__proto__") throw this.#error("invalid", at, "the key __proto__ is refused");
      if (count < 0) this.#charge(1);
      const value = this.#item(depth + 1);
      // V8 remembers, for each place in the code, which name was stored there; messages on a connection are much alike,
      // so the first names are often the same ones. Where they are not, this is as slow as a single place would be.
      if (read === 0) object[key] = value;
      else if (read === 1) object[key] = value;
      else if (read === 2) object[key] = value;
      else object[key] = value;
    }
    if (read > 1 && (read > COUNTED_SOONER || propertyCount(object) !== read)) {
      if (Object.keys(object).length !== read) throw this.#duplicate(head);
    }
    return object;
  }

  /** Goes on with a map after `read` entries, since the next key is no text. */
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
    return this.#fill(map, count, read, depth);
  }

  /** Reads a map's number of entries and charges them; -1 if it ends by a break. */
  #entries(info: number): number {
    if (info === INDEFINITE) return -1;
    const count = this.#argument(info);
    this.#charge(2 * count);
    return count;
  }

  #textKey(): string {
    const at = this.#at++;
    const info = this.#bytes[at]! & 31;
    if (info === INDEFINITE) return this.#chunkedKey(at);
    const length = this.#argument(info);
    if (length > this.#limits.maxKeyBytes) throw this.#keyTooLong(at);
    const start = this.#take(length);
    return this.#utf8(this.#keys.get(this.#bytes, start, start + length), start);
  }

  #chunkedKey(at: number): string {
    const key = this.#chunkedText();
    if (this.#at - at > this.#limits.maxKeyBytes) throw this.#keyTooLong(at);
    return key;
  }

  #keyTooLong(at: number): CborError {
    return this.#error("limit", at, `a key is longer than ${this.#limits.maxKeyBytes} bytes (maxKeyBytes)`);
  }

  /** Reads the entries of a map into `map`, of which `read` are there already. */
  #fill(
    map: Map<unknown, unknown>,
    count: number,
    read: number,
    depth: number,
  ): Map<unknown, unknown> {
    // Keys that are objects are told apart by their bytes.
    const encodings = new Set<string>();
    for (; count < 0 ? !this.#breaks() : read < count; read++) {
      const start = this.#at;
      const key = this.#key(depth);
      if (typeof key === "object" && key !== null) {
        this.#chargeTime(this.#at - start >> 4); // as a bignum's, since keys within keys are looked at again
        const encoding = toHex(this.#bytes.subarray(start, this.#at));
        if (encodings.has(encoding)) throw this.#duplicate(start);
        encodings.add(encoding);
      } else {
        this.#chargeKey(key);
      }
      if (count < 0) this.#charge(1);
      map.set(key, this.#item(depth + 1));
      if (map.size === read) throw this.#duplicate(start);
    }
    return map;
  }

  #key(depth: number): unknown {
    const start = this.#at;
    if (start < this.#end && this.#bytes[start]! >> 5 === TEXT) return this.#textKey();
    const key = this.#item(depth + 1);
    if (this.#at - start > this.#limits.maxKeyBytes) throw this.#keyTooLong(start);
    return key;
  }

  #tagged(info: number, depth: number): unknown {
    const head = this.#at - 1;
    const tag = this.#unsigned(info);
    this.#charge(1);
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
    }
    if (typeof tag === "number" && isTypedArrayTag(tag)) {
      const array = typedArray(tag, this.#content(head, BYTES, depth) as Uint8Array<ArrayBuffer>);
      if (array === undefined) throw this.#error("invalid", head, "the bytes of a typed array are too few");
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
    if (this.#at >= this.#end) throw this.#truncated();
    if (this.#bytes[this.#at]! >> 5 !== major) throw this.#wrongContent(head);
  }

  #wrongContent(head: number): CborError {
    return this.#error("invalid", head, "a tag has the wrong content");
  }

  #date(head: number, date: Date | undefined): Date {
    if (date === undefined) {
      throw this.#error("invalid", head, "a date is not as in RFC 3339, or out of range");
    }
    return date;
  }

  #epoch(head: number, depth: number): Date {
    const first = this.#bytes[this.#at]!;
    // A tag in here would let tags nest without end.
    if (this.#at < this.#end && first >> 5 > 1 && (first < 0xf9 || first > 0xfb)) {
      throw this.#wrongContent(head);
    }
    return this.#date(head, dateOfSeconds(Number(this.#item(depth))));
  }

  #bignum(head: number): bigint {
    this.#expect(head, BYTES);
    const info = this.#bytes[this.#at++]! & 31;
    const { maxBignumBytes } = this.#limits;
    if (info < 7 && info <= maxBignumBytes) {
      // Up to 48 bits are an exact number on the way.
      let value = 0;
      for (let at = this.#take(info); at < this.#at; at++) value = value * 256 + this.#bytes[at]!;
      return BigInt(value);
    }
    const bytes = this.#byteString(info);
    if (bytes.length > maxBignumBytes) {
      throw this.#error("limit", head, `an integer is longer than ${maxBignumBytes} bytes (maxBignumBytes)`);
    }
    // As many bytes as a small item takes time.
    this.#chargeTime(bytes.length >> 4);
    // By way of hex, since shifting in byte by byte takes quadratic time.
    return bytes.length === 0 ? 0n : BigInt(`0x${toHex(bytes)}`);
  }

  #set(head: number, values: unknown[]): Set<unknown> {
    this.#chargeTime(values.length); // on top of their own: each is put into a table, as a key of a map is
    for (const value of values) this.#chargeKey(value);
    const set = new Set(values);
    if (set.size !== values.length) throw this.#error("invalid", head, "a set holds a value twice");
    return set;
  }

  #realMap(head: number, depth: number): Map<unknown, unknown> {
    this.#expect(head, MAP);
    const info = this.#bytes[this.#at++]! & 31;
    this.#enter(depth);
    return this.#fill(new Map(), this.#entries(info), 0, depth);
  }

  #simple(info: number): unknown {
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
        return half(this.#argument(info));
      case 26:
        this.#scratch.setUint32(0, this.#argument(info));
        return this.#scratch.getFloat32(0);
      case 27:
        this.#load(this.#take(8));
        return this.#scratch.getFloat64(0);
      case INDEFINITE:
        throw this.#error("malformed", this.#at - 1, "a break where none can be");
    }
    const head = this.#at - 1;
    const number = this.#argument(info);
    if (info === 24 && number < 32) {
      throw this.#error("malformed", head, "a simple value of two bytes below 32");
    }
    return new Simple(number);
  }

  #duplicate(at: number): CborError {
    return this.#error("invalid", at, "a map has a key twice");
  }

  #truncated(): CborError {
    return this.#error("truncated", this.#at, "the message ends inside a value");
  }

  #error(code: CborErrorCode, at: number, reason: string): CborError {
    return new CborError(code, at - this.#start, reason);
  }
}

/** Counts properties, inherited ones too, but without making an array of them: duplicates are looked for cheaply. */
function propertyCount(object: object): number {
  let count = 0;
  for (const _ in object) count++;
  return count;
}
