// The environment of the program: input, output, terminal size, Ctrl-C. main.ts creates it from the process;
// tests create their own.

import { UsageError } from "./usage_error.ts";
import { fromUtf8 } from "./utf8.ts";

/** Input and output of {@linkcode run}. */
export interface Shell {
  /** The standard input. */
  readonly stdin: ReadableStream<Uint8Array>;
  /** Aborts when the user interrupts; the reason is an {@linkcode Interrupted}. */
  readonly signal: AbortSignal;
  /**
   * Writes to the standard output. Resolves when the text has been written; rejects with {@linkcode
   * OutputClosed}.
   */
  out(text: string): Promise<void>;
  /** Writes to the standard error output. */
  err(text: string): Promise<void>;
  /** The size of the terminal that standard output is connected to; undefined if it is not a terminal. */
  size(): TerminalSize | undefined;
  /** Whether the standard error output is a terminal. */
  errIsTerminal(): boolean;
  /** Reads a text file; rejects if it is not UTF-8. */
  readTextFile(path: string): Promise<string>;
  /** Reads an environment variable; undefined if it is not set or the program lacks the permission. */
  env(name: string): string | undefined;
}

/** The size of a terminal, in characters. */
export interface TerminalSize {
  /** Characters in a line. */
  readonly columns: number;
  /** Lines. */
  readonly rows: number;
}

/** Reason of the signal when the user interrupts the program. */
export class Interrupted extends Error {
  /** Its name. */
  override readonly name = "Interrupted";
  /** The exit code: 128 plus the number of the signal. */
  readonly code: number;

  /**
   * Creates the reason.
   *
   * @param code The exit code, such as 130 for SIGINT
   */
  constructor(code: number) {
    super("Interrupted");
    this.code = code;
  }
}

/** Thrown when the reader of the output has closed it, as `head` does. */
export class OutputClosed extends Error {
  /** Its name. */
  override readonly name = "OutputClosed";
}

/** Signals that end the program, with their exit codes. Windows has no SIGTERM. */
const SIGNALS: readonly (readonly [Deno.Signal, number])[] = Deno.build.os === "windows"
  ? [["SIGINT", 130]]
  : [["SIGINT", 130], ["SIGTERM", 143]];

/** The shell of this process. Installs signal handlers: the first signal aborts, the second exits at once. */
export function processShell(): Shell {
  const stop = new AbortController();
  for (const [signal, code] of SIGNALS) {
    Deno.addSignalListener(signal, () => {
      if (stop.signal.aborted) Deno.exit(code);
      stop.abort(new Interrupted(code));
    });
  }
  return {
    signal: stop.signal,
    get stdin() {
      return Deno.stdin.readable;
    },
    out: (text) => write(Deno.stdout, text),
    err: (text) => write(Deno.stderr, text),
    size: () => Deno.stdout.isTerminal() ? Deno.consoleSize() : undefined,
    errIsTerminal: () => Deno.stderr.isTerminal(),
    readTextFile: async (path) => fromUtf8(await Deno.readFile(path)),
    env(name) {
      const { state } = Deno.permissions.querySync({ name: "env", variable: name });
      if (state !== "granted") return undefined;
      try {
        return Deno.env.get(name);
      } catch {
        // Deno's error message would contain the value, which may be a secret.
        throw new UsageError(`The environment variable ${name} is not valid UTF-8`);
      }
    },
  };
}

async function write(to: { write(bytes: Uint8Array): Promise<number> }, text: string): Promise<void> {
  let bytes: Uint8Array = new TextEncoder().encode(text);
  try {
    while (bytes.length > 0) bytes = bytes.subarray(await to.write(bytes));
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) {
      throw new OutputClosed("The reader of the output has closed it");
    }
    throw error;
  }
}
