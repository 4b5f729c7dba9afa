// Envelopes of the Connect protocol, in which streams are sent over HTTP: a byte of flags, the length in four bytes, and a
// message. Both directions: cutting the body of a request into messages, and writing those of an answer.
// https://connectrpc.com/docs/protocol#streaming-request

import { RpcError } from "../call/error.ts";
import type { StreamForm } from "./stream_form.ts";

const HEAD_BYTES = 5;
const COMPRESSED = 1;
const END = 2;

const encoder = new TextEncoder();

/** One message of a request. */
export interface Envelope {
  readonly compressed: boolean;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Cuts the body of a request into envelopes. */
export class EnvelopeReader {
  readonly #maxBytes: number;
  #buffer = new Uint8Array(256);
  #start = 0;
  #end = 0;

  /** @param maxBytes The longest message accepted, in bytes */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Whether a part of an envelope has arrived. */
  get partial(): boolean {
    return this.#end > this.#start;
  }

  /** Adds bytes that have arrived. */
  push(bytes: Uint8Array): void {
    const held = this.#end - this.#start;
    const needed = held + bytes.length;
    if (this.#end + bytes.length > this.#buffer.length) {
      // Grows by what has arrived, not by what a head declares.
      const grown = needed > this.#buffer.length
        ? new Uint8Array(Math.max(needed, this.#buffer.length * 2))
        : this.#buffer;
      grown.set(this.#buffer.subarray(this.#start, this.#end));
      this.#buffer = grown;
      this.#start = 0;
      this.#end = held;
    }
    this.#buffer.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  /**
   * The next envelope, if it has arrived in full.
   *
   * @throws {RpcError} `resource_exhausted` if it is too long, `invalid_argument` if it is the end of an answer
   */
  next(): Envelope | undefined {
    const held = this.#end - this.#start;
    if (held < HEAD_BYTES) return undefined;
    const head = new DataView(this.#buffer.buffer, this.#start, HEAD_BYTES);
    const flags = head.getUint8(0);
    const length = head.getUint32(1);
    if (length > this.#maxBytes) throw tooLong("a message", this.#maxBytes);
    if ((flags & END) !== 0) {
      throw new RpcError(
        "invalid_argument",
        "Cannot read the request: only answers end with a flagged envelope",
      );
    }
    if (held < HEAD_BYTES + length) return undefined;
    const from = this.#start + HEAD_BYTES;
    this.#start = from + length;
    return { compressed: (flags & COMPRESSED) !== 0, bytes: this.#buffer.slice(from, from + length) };
  }

  /**
   * The body has ended.
   *
   * @throws {RpcError} `invalid_argument` if it ended within an envelope
   */
  finish(): void {
    if (!this.partial) return;
    throw new RpcError("invalid_argument", "Cannot read the request: it ends within an envelope");
  }
}

/** The error for a body or message above `maxFrameBytes`. */
export function tooLong(what: string, maxBytes: number): RpcError {
  const message = `Cannot read the request: ${what} is over ${maxBytes} bytes (maxFrameBytes)`;
  return new RpcError("resource_exhausted", message);
}

/** Answers in envelopes. */
export const ENVELOPES: StreamForm = {
  contentType: "application/connect+json",
  headFirst: true,
  item: (json) => envelope(0, json),
  end: (error, metadata) => {
    const entries = metadata.map(([name, text]) => [name, [text]]);
    const end = { error, ...entries.length > 0 && { metadata: Object.fromEntries(entries) } };
    return envelope(END, JSON.stringify(end));
  },
};

function envelope(flags: number, json: string): Uint8Array<ArrayBuffer> {
  // A UTF-16 unit takes three bytes in UTF-8 at most.
  const bytes = new Uint8Array(HEAD_BYTES + json.length * 3);
  const { written } = encoder.encodeInto(json, bytes.subarray(HEAD_BYTES));
  bytes[0] = flags;
  new DataView(bytes.buffer).setUint32(1, written);
  return bytes.subarray(0, HEAD_BYTES + written);
}
