// The lines of the standard input as a stream of arguments. Read only as fast as the call takes them; left when the call
// is over, or the user interrupts, even while it waits for a line.

import { parseValue } from "./parse_value.ts";
import type { Shell } from "./shell.ts";
import type { UsageError } from "./usage_error.ts";

/** One JSON value in each line; empty lines are skipped. */
export class InputItems implements AsyncIterable<unknown> {
  readonly #shell: Pick<Shell, "stdin" | "signal">;
  /** What was wrong with a line, if it was. */
  failure: UsageError | undefined;
  #reader: ReadableStreamDefaultReader<string> | undefined;

  constructor(shell: Pick<Shell, "stdin" | "signal">) {
    this.#shell = shell;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<unknown> {
    const { stdin, signal } = this.#shell;
    const decoder = new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>;
    const reader = this.#reader = stdin.pipeThrough(decoder).getReader();
    signal.addEventListener("abort", () => this.close());
    let number = 0;
    let rest = "";
    for (;;) {
      const { done, value = "" } = await reader.read();
      const lines = (rest + value).split("\n");
      rest = done ? "" : lines.pop()!;
      for (const line of lines) {
        number++;
        if (line.trim() !== "") yield this.#parse(line, number);
      }
      if (done) return;
    }
  }

  /** Reads no more. What waits for a line is done. */
  async close(): Promise<void> {
    await this.#reader?.cancel().catch(() => {});
  }

  #parse(line: string, number: number): unknown {
    try {
      return parseValue(line.trimEnd(), `Line ${number} of the input`);
    } catch (error) {
      this.failure = error as UsageError;
      throw error;
    }
  }
}
