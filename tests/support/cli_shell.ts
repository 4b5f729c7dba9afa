// The command line in this process, for tests: what it reads, what it printed, and Ctrl-C.

import { Interrupted, run, type Shell, type TerminalSize } from "../../cli/main.ts";

/** What a command line is run with. */
export interface CliOptions {
  /** The standard input. */
  readonly stdin?: string | ReadableStream<Uint8Array>;
  /** The terminal, if there is one. */
  readonly size?: TerminalSize;
  readonly env?: Readonly<Record<string, string>>;
  /** Files by their paths. */
  readonly files?: Readonly<Record<string, string>>;
  /** Called with everything that is printed to the standard output, with all that has been so far. */
  readonly printed?: (out: string) => void | Promise<void>;
}

/** One run of a command line. */
export class Cli {
  out = "";
  err = "";
  /** The exit code. */
  readonly done: Promise<number>;
  readonly #stop = new AbortController();

  constructor(args: readonly string[], options: CliOptions = {}) {
    const { stdin = "", size, env = {}, files = {}, printed } = options;
    const shell: Shell = {
      stdin: typeof stdin === "string" ? ReadableStream.from([new TextEncoder().encode(stdin)]) : stdin,
      signal: this.#stop.signal,
      out: async (text) => {
        this.out += text;
        await printed?.(this.out);
      },
      err: async (text) => {
        this.err += text;
        await Promise.resolve();
      },
      size: () => size,
      errIsTerminal: () => size !== undefined,
      readTextFile: async (path) => {
        if (files[path] !== undefined) return await Promise.resolve(files[path]);
        throw new Deno.errors.NotFound("No such file");
      },
      env: (name) => env[name],
    };
    this.done = run(args, shell);
  }

  /** Presses Ctrl-C. */
  interrupt(): void {
    this.#stop.abort(new Interrupted(130));
  }
}

/** Runs a command line to its end. */
export async function cli(
  args: readonly string[],
  options?: CliOptions,
): Promise<{ code: number; out: string; err: string }> {
  const run = new Cli(args, options);
  const code = await run.done;
  return { code, out: run.out, err: run.err };
}
