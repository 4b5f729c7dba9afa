// A shell for the tests that type what the documentation says: lines run in a folder, which `cd` changes, and programs
// that stay are stopped at the end.

import { assertEquals } from "@std/assert";

/** Runs lines one after the other. */
export class Shell implements AsyncDisposable {
  /** Where the next line runs. */
  folder: string;
  readonly #staying: Deno.ChildProcess[] = [];

  constructor(folder: string) {
    this.folder = folder;
  }

  /** Runs lines to their end, which must be a good one, and returns what they have printed. */
  async run(lines: string): Promise<string> {
    const { code, stdout, stderr } = await this.#command(`${lines}\npwd >&2`, "piped").output();
    const errorOutput = new TextDecoder().decode(stderr).trimEnd();
    assertEquals(code, 0, `${lines}${errorOutput}`);
    this.folder = errorOutput.slice(errorOutput.lastIndexOf("\n") + 1);
    return new TextDecoder().decode(stdout);
  }

  /** Starts a program that stays, and waits until it has printed what is expected. */
  async start(line: string, expected: string): Promise<Deno.ChildProcess> {
    // Signals are for the program, not for the shell that has started it.
    const process = this.#command(`exec ${line}`, "null").spawn();
    this.#staying.push(process);
    let printed = "";
    const text = process.stdout.pipeThrough(new TextDecoderStream());
    for await (const chunk of text.values({ preventCancel: true })) {
      printed += chunk;
      if (printed.length >= expected.length) break;
    }
    assertEquals(printed, expected, line);
    // What it prints later is ignored.
    void text.cancel();
    return process;
  }

  /** Stops what was started and is still there. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of this.#staying.splice(0)) {
      try {
        process.kill("SIGKILL");
      } catch {
        // It has ended.
      }
      await process.status;
    }
  }

  #command(lines: string, stderr: "piped" | "null"): Deno.Command {
    return new Deno.Command("sh", { args: ["-ec", lines], cwd: this.folder, stdout: "piped", stderr });
  }
}
