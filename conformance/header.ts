// Frames of the runner: encoded by the table of docs/PROTOCOL.md, and decoded strictly, so that every
// violation by an implementation is detected.

import { encode, head, type Json } from "./cbor.ts";

/** A field of a header: a number, a string, or metadata, whose values may be bytes. */
export type Field = number | string | Map<string, string | Uint8Array>;

/** A received frame. */
export interface Frame {
  readonly header: Field[];
  readonly body: Uint8Array;
}

const MAX_HEADER = 16_384;
const NAME = /^[a-z0-9._-]{1,64}$/;
const utf8 = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The fields after the kind: n = number, s = seq, t = text, m = metadata, which is optional; then whether a
 * body is allowed.
 */
const FORMS: readonly (readonly [string, boolean])[] = [
  ["", false],
  ["stnm", true],
  ["sm", true],
  ["sttm", true],
  ["s", true],
  ["sm", false],
  ["s", false],
  ["snn", false],
  ["n", false],
  ["n", false],
  ["ntt", false],
];

/** Encodes a complete frame. */
export function framed(content: ArrayLike<number>): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(5 + content.length);
  frame[0] = 0x5a;
  new DataView(frame.buffer).setUint32(1, content.length);
  frame.set(content, 5);
  return frame;
}

/**
 * Encodes a header. Its fields are JSON: numbers, strings, and metadata with values that are strings or
 * `{"bytes": hex}`.
 */
export function writeHeader(fields: readonly Json[]): number[] {
  return [...head(4, fields.length), ...fields.flatMap(writeField)];
}

function writeField(field: Json): number[] {
  if (typeof field !== "object" || field === null || Array.isArray(field)) return encode(field);
  const entries = Object.entries(field);
  return [
    ...head(5, entries.length),
    ...entries.flatMap(([name, value]) => [...encode(name), ...writeMetadataValue(value)]),
  ];
}

function writeMetadataValue(value: Json): number[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return encode(value);
  const bytes = Uint8Array.fromHex(String(value.bytes));
  return [...head(2, bytes.length), ...bytes];
}

/**
 * Decodes the content of a frame.
 *
 * @throws {SyntaxError} If it violates a rule
 */
export function readFrame(content: Uint8Array): Frame {
  const reader = new HeaderReader(content.subarray(0, MAX_HEADER));
  const count = reader.number(4, "the header");
  const kind = reader.number(0, "the kind");
  const form = kind > 0 ? FORMS[kind] : undefined;
  if (form === undefined) throw new SyntaxError(`a frame of the unknown kind ${kind}`);
  const [fields, mayHaveBody] = form;
  const max = fields.length + 1;
  if (count !== max && !(fields.endsWith("m") && count === max - 1)) {
    throw new SyntaxError(`a header of kind ${kind} with ${count} elements`);
  }
  const header: Field[] = [kind];
  for (const field of fields.slice(0, count - 1)) header.push(reader.field(field));
  const body = content.subarray(reader.at);
  if (!mayHaveBody && body.length > 0) throw new SyntaxError(`a body after a header of kind ${kind}`);
  return { header, body };
}

class HeaderReader {
  at = 0;
  readonly #data: Uint8Array;

  constructor(data: Uint8Array) {
    this.#data = data;
  }

  field(form: string): Field {
    if (form === "t") return this.text("a text");
    if (form === "m") return this.#metadata();
    const n = this.number(0, "a number");
    if (form === "s" && n === 0) throw new SyntaxError("a seq of 0");
    return n;
  }

  /** The argument in the head of an item of type `major`. */
  number(major: number, what: string): number {
    const [first] = this.#take(1);
    if (first! >> 5 !== major) {
      throw new SyntaxError(`${what} of major type ${first! >> 5} instead of ${major}`);
    }
    const info = first! & 31;
    if (info < 24) return info;
    if (info > 27) throw new SyntaxError(`${what} of indefinite or reserved length`);
    const n = this.#take(1 << info - 24).reduce((n, byte) => n * 256 + byte, 0);
    if (!Number.isSafeInteger(n)) throw new SyntaxError(`${what} above 2^53-1`);
    return n;
  }

  text(what: string): string {
    return strict.decode(this.#take(this.number(3, what)));
  }

  #metadata(): Map<string, string | Uint8Array> {
    const metadata = new Map<string, string | Uint8Array>();
    const count = this.number(5, "metadata");
    if (count > 64) throw new SyntaxError(`${count} metadata entries, more than 64`);
    for (let i = 0; i < count; i++) {
      const name = this.text("a name of metadata");
      if (!NAME.test(name) || name === "__proto__") {
        throw new SyntaxError(`the invalid metadata name "${name}"`);
      }
      if (metadata.has(name)) throw new SyntaxError(`metadata "${name}" twice`);
      const isBytes = this.#data[this.at]! >> 5 === 2;
      metadata.set(name, isBytes ? this.#take(this.number(2, "bytes")) : this.text("metadata"));
    }
    return metadata;
  }

  #take(count: number): Uint8Array {
    if (count > this.#data.length - this.at) {
      throw new SyntaxError("a header that ends too early or is too long");
    }
    return this.#data.subarray(this.at, this.at += count);
  }
}

/** Formats a frame for reports. */
export function formatFrame({ header, body }: Frame): string {
  const fields = header.map((field) =>
    field instanceof Map
      ? JSON.stringify(
        Object.fromEntries([...field].map(([name, v]) => [name, typeof v === "string" ? v : v.toHex()])),
      )
      : JSON.stringify(field)
  );
  const hex = body.length > 64 ? `${body.subarray(0, 64).toHex()}… (${body.length} bytes)` : body.toHex();
  return `[${fields.join(", ")}]${hex && ` ${hex}`}`;
}

/** The length of a string in UTF-8 bytes. */
export function sizeOf(text: string): number {
  return utf8.encode(text).length;
}
