// The lines of the standard input as a stream of arguments. Read only as fast as the call takes them; left when the call
// is over, or the user interrupts, even while it waits for a line.

import { parseValue } from "./parse_value.ts";
import type { Shell } from "./shell.ts";
import { UsageError } from "./usage_error.ts";
import { fromUtf8 } from "./utf8.ts";

const NEWLINE = 0x0a;

/** One JSON value in each line; empty lines are skipped. */
export class InputItems implements AsyncIterable<unknown> {
  readonly #shell: Pick<Shell, "stdin" | "signal">;
  /** What was wrong with a line, if it was. */
  failure: UsageError | undefined;
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  /** The number of the line that is read, from 1, and the offset at which it begins. */
  #number = 1;
  #offset = 0;

  constructor(shell: Pick<Shell, "stdin" | "signal">) {
    this.#shell = shell;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<unknown> {
    const { stdin, signal } = this.#shell;
    const reader = this.#reader = stdin.getReader();
    signal.addEventListener("abort", () => this.close());
    // What has come of a line. Its end is looked for in bytes: in UTF-8 a newline is part of no other character.
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

  /** Reads no more. What waits for a line is done. */
  async close(): Promise<void> {
    await this.#reader?.cancel().catch(() => {});
  }

  /** The value of a line, if it is not empty. */
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
      // Some programs begin their output with a byte order mark.
      return this.#number === 1 && text.startsWith("\ufeff") ? text.slice(1) : text;
    } catch (error) {
      throw new UsageError(`Line ${this.#number} of the input cannot be read: ${(error as Error).message}`);
    }
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
