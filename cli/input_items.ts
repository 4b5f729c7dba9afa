// Standard input as a stream of arguments, one JSON value per line. Read only as fast as the call sends;
// reading stops when the call has ended or the user interrupts, even while waiting for a line.

import { parseValue } from "./parse_value.ts";
import type { Shell } from "./shell.ts";
import { UsageError } from "./usage_error.ts";
import { fromUtf8 } from "./utf8.ts";

const NEWLINE = 0x0a;

/** The JSON values of the input, one per line; empty lines are skipped. */
export class InputItems implements AsyncIterable<unknown> {
  readonly #shell: Pick<Shell, "stdin" | "signal">;
  /** The error of an invalid line, if there was one. */
  failure: UsageError | undefined;
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  /** The number of the current line, from 1, and its byte offset. */
  #number = 1;
  #offset = 0;

  constructor(shell: Pick<Shell, "stdin" | "signal">) {
    this.#shell = shell;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<unknown> {
    const { stdin, signal } = this.#shell;
    const reader = this.#reader = stdin.getReader();
    signal.addEventListener("abort", () => this.close());
    // The parts of an incomplete line. The newline is searched in bytes: in UTF-8 no other character contains
    // it.
    let parts: Uint8Array[] = [];
    for (;;) {
      const { done, value: chunk = new Uint8Array() } = await reader.read();
      let begin = 0;
      for (let end; (end = chunk.indexOf(NEWLINE, begin)) >= 0; begin = end + 1) {
        parts.push(chunk.subarray(begin, end));
        yield* this.#values(joined(parts));
        parts = [];
      }
      if (done) return yield* this.#values(joined(parts));
      parts.push(chunk.subarray(begin));
    }
  }

  /** Stops reading, and ends a pending read. */
  async close(): Promise<void> {
    await this.#reader?.cancel().catch(() => {});
  }

  /** The value of a line, unless it is empty. */
  *#values(line: Uint8Array): Generator<unknown> {
    try {
      const text = this.#decode(line);
      if (text.trim() !== "") yield parseValue(text.trimEnd(), `Line ${this.#number} of the input`);
    } catch (error) {
      if (error instanceof UsageError) this.failure = error;
      throw error;
    }
    this.#number++;
    this.#offset += line.length + 1;
  }

  #decode(line: Uint8Array): string {
    try {
      const text = fromUtf8(line, this.#offset);
      // Some programs start their output with a byte order mark.
      return this.#number === 1 && text.startsWith("\ufeff") ? text.slice(1) : text;
    } catch (error) {
      throw new UsageError(`Cannot read line ${this.#number} of the input: ${(error as Error).message}`);
    }
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
