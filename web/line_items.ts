// Cuts the body of a request into lines of JSON, each an item of a stream of arguments.

import type { Envelope } from "./envelopes.ts";
import { tooLong } from "./envelopes.ts";

const NEWLINE = 0x0a;
const BLANKS: ReadonlySet<number> = new Set([0x20, 0x09, 0x0d]);

/** Cuts a body into lines; blank ones are skipped. */
export class LineItems {
  readonly #maxBytes: number;
  #parts: Uint8Array[] = [];
  #held = 0;
  /** What was pushed last, from `#at` on. */
  #chunk: Uint8Array = new Uint8Array();
  #at = 0;
  #finished = false;

  /** @param maxBytes The longest line accepted, in bytes */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Whether a part of a line has arrived. */
  get partial(): boolean {
    return this.#held > 0;
  }

  /** Adds bytes that have arrived. All lines of the bytes before have been taken. */
  push(bytes: Uint8Array): void {
    this.#chunk = bytes;
    this.#at = 0;
  }

  /**
   * The next line, if it has arrived in full.
   *
   * @throws {RpcError} `resource_exhausted` if it is too long
   */
  next(): Envelope | undefined {
    for (;;) {
      const end = this.#chunk.indexOf(NEWLINE, this.#at);
      const part = this.#chunk.subarray(this.#at, end < 0 ? undefined : end);
      this.#held += part.length;
      if (this.#held > this.#maxBytes) throw tooLong("a line", this.#maxBytes);
      if (part.length > 0) this.#parts.push(part.slice());
      this.#at = end < 0 ? this.#chunk.length : end + 1;
      if (end < 0 && !this.#finished) return undefined;
      const line = this.#take();
      if (line.some((byte) => !BLANKS.has(byte))) return { compressed: false, bytes: line };
      if (end < 0) return undefined;
    }
  }

  /** The body has ended: what is left of it is a line. */
  finish(): void {
    this.#finished = true;
  }

  #take(): Uint8Array<ArrayBuffer> {
    const line = new Uint8Array(this.#held);
    let at = 0;
    for (const part of this.#parts) {
      line.set(part, at);
      at += part.length;
    }
    this.#parts = [];
    this.#held = 0;
    return line;
  }
}
