// CBOR for the runner, written from docs/PROTOCOL.md and RFC 8949 without any code of the library, so that
// the two implementations check each other. Decodes every well-formed item, encodes JSON values.

/** A tag and its content. */
export class Tag {
  constructor(readonly number: number, readonly value: Item) {}
}

/** A simple value without a JavaScript equivalent; 23 is undefined. */
export class Simple {
  constructor(readonly number: number) {}
}

/** A decoded item. Integers beyond ±(2^53-1) are bigints. */
export type Item =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Tag
  | Simple
  | Item[]
  | Map<Item, Item>;

/** Values as written in vectors and conversations. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

const utf8 = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const DEPTH = 64;

/** The head of an item: its major type and argument, in the shortest form. */
export function head(major: number, n: number): number[] {
  const size = n < 24 ? 0 : n < 0x100 ? 1 : n < 0x10000 ? 2 : n < 0x100000000 ? 4 : 8;
  const bytes = [major << 5 | (size === 0 ? n : 24 + Math.log2(size))];
  for (let i = size; i-- > 0;) bytes.push(Math.floor(n / 256 ** i) % 256);
  return bytes;
}

/**
 * Encodes a value in its preferred form: integers and lengths as short as possible, other numbers as float64.
 */
export function encode(value: Json): number[] {
  if (value === null) return [0xf6];
  if (typeof value === "boolean") return [value ? 0xf5 : 0xf4];
  if (typeof value === "number") {
    if (Number.isSafeInteger(value)) return value < 0 ? head(1, -1 - value) : head(0, value);
    const float = new Uint8Array(9);
    float[0] = 0xfb;
    new DataView(float.buffer).setFloat64(1, value);
    return [...float];
  }
  if (typeof value === "string") {
    const text = utf8.encode(value);
    return [...head(3, text.length), ...text];
  }
  if (Array.isArray(value)) return [...head(4, value.length), ...value.flatMap(encode)];
  const entries = Object.entries(value);
  return [
    ...head(5, entries.length),
    ...entries.flatMap(([name, each]) => [...encode(name), ...encode(each)]),
  ];
}

/**
 * Decodes data that consists of exactly one item.
 *
 * @throws {SyntaxError} If the data is malformed, or has trailing bytes
 */
export function decode(data: Uint8Array): Item {
  const [item, end] = decodeFirst(data);
  if (end !== data.length) throw new SyntaxError(`${data.length - end} bytes after the item`);
  return item;
}

/**
 * Decodes the first item of the data, and returns the offset of its end.
 *
 * @param float Converts floats, for callers that distinguish them from integers
 * @throws {SyntaxError} If the item is malformed
 */
export function decodeFirst(data: Uint8Array, float: (n: number) => Item = (n) => n): [Item, number] {
  const reader = new Reader(data, float);
  return [reader.item(0), reader.at];
}

class Reader {
  at = 0;
  readonly #data: Uint8Array;
  readonly #float: (n: number) => Item;

  constructor(data: Uint8Array, float: (n: number) => Item) {
    this.#data = data;
    this.#float = float;
  }

  item(depth: number): Item {
    if (depth > DEPTH) throw new SyntaxError("nested too deeply");
    const [first] = this.#take(1);
    const major = first! >> 5;
    const info = first! & 31;
    if (major === 7) return this.#simple(info);
    const n = this.#number(info, major > 1 && major < 6);
    if (major === 0) return small(n!);
    if (major === 1) return small(-1n - n!);
    if (major === 2) return concat(this.#chunks(n, major) as Uint8Array[]);
    if (major === 3) return this.#chunks(n, major).map((chunk) => strict.decode(chunk)).join("");
    if (major === 6) return new Tag(Number(n), this.item(depth + 1));
    const items: Item[] = [];
    while (n === undefined ? !this.#atBreak() : items.length < Number(n) * (major - 3)) {
      items.push(this.item(depth + 1));
    }
    return major === 4 ? items : toMap(items);
  }

  #take(count: number): Uint8Array {
    if (count > this.#data.length - this.at) throw new SyntaxError("the data ends too early");
    return this.#data.subarray(this.at, this.at += count);
  }

  /** The argument of a head; undefined = indefinite length. */
  #number(info: number, mayBeIndefinite: boolean): bigint | undefined {
    if (info < 24) return BigInt(info);
    if (info === 31 && mayBeIndefinite) return undefined;
    if (info > 27) throw new SyntaxError(`a reserved length, ${info}`);
    return this.#take(1 << info - 24).reduce((n, byte) => n << 8n | BigInt(byte), 0n);
  }

  #chunks(n: bigint | undefined, major: number): Uint8Array[] {
    if (n !== undefined) return [this.#take(Number(n))];
    const chunks: Uint8Array[] = [];
    while (!this.#atBreak()) {
      const [first] = this.#take(1);
      if (first! >> 5 !== major) throw new SyntaxError("a chunk of another type");
      const length = this.#number(first! & 31, false)!;
      chunks.push(this.#take(Number(length)));
    }
    return chunks;
  }

  #atBreak(): boolean {
    if (this.#data[this.at] !== 0xff) return false;
    this.at++;
    return true;
  }

  #simple(info: number): Item {
    if (info < 20) return new Simple(info);
    if (info < 24) return [false, true, null, new Simple(23)][info - 20]!;
    if (info > 27) throw new SyntaxError(`a reserved item or a stray break, ${info}`);
    const bytes = this.#take(1 << info - 24);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    if (info === 25) return this.#float(half(view.getUint16(0)));
    if (info === 26) return this.#float(view.getFloat32(0));
    if (info === 27) return this.#float(view.getFloat64(0));
    if (bytes[0]! < 32) throw new SyntaxError(`a simple value in an invalid form, ${bytes[0]}`);
    return new Simple(bytes[0]!);
  }
}

function small(n: bigint): number | bigint {
  return n >= Number.MIN_SAFE_INTEGER && n <= Number.MAX_SAFE_INTEGER ? Number(n) : n;
}

function half(bits: number): number {
  const sign = bits >> 15 ? -1 : 1;
  const exponent = bits >> 10 & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

function concat(chunks: Uint8Array[]): Uint8Array {
  return new Uint8Array(chunks.flatMap((chunk) => [...chunk]));
}

function toMap(items: Item[]): Map<Item, Item> {
  const map = new Map<Item, Item>();
  const seen = new Set<string>();
  if (items.length % 2 > 0) throw new SyntaxError("a key without a value");
  for (let i = 0; i < items.length; i += 2) {
    const key = JSON.stringify(notation(items[i]!));
    if (seen.has(key)) throw new SyntaxError(`the key ${key} occurs twice`);
    seen.add(key);
    map.set(items[i]!, items[i + 1]!);
  }
  return map;
}

/** A value in the notation of docs/vectors/README.md. */
export function notation(item: Item): Json {
  if (typeof item === "bigint") return { number: String(item) };
  if (typeof item === "number") {
    return Number.isFinite(item) && !Object.is(item, -0)
      ? item
      : { number: Object.is(item, -0) ? "-0" : `${item}` };
  }
  if (item instanceof Uint8Array) return { bytes: item.toHex() };
  if (item instanceof Simple) return { simple: item.number };
  if (item instanceof Tag) return { tag: item.number, value: notation(item.value) };
  if (item instanceof Map) return { map: [...item].map((entry) => entry.map(notation)) };
  return Array.isArray(item) ? item.map(notation) : item;
}

/**
 * Converts an item to a JSON value.
 *
 * @throws {TypeError} If JSON cannot represent it
 */
export function plain(item: Item): Json {
  if (item instanceof Map) {
    return Object.fromEntries([...item].map(([key, value]) => {
      if (typeof key !== "string") throw new TypeError("a key that is not a string");
      return [key, plain(value)];
    }));
  }
  if (Array.isArray(item)) return item.map(plain);
  if (item === null || typeof item === "boolean" || typeof item === "string") return item;
  if (typeof item === "number" && Number.isFinite(item)) return item;
  throw new TypeError(`not a value of JSON: ${JSON.stringify(notation(item))}`);
}
