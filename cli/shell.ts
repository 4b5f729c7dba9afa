// What the program has around it: input, output, a terminal perhaps, the user's Ctrl-C. main.ts makes it of the process;
// tests make their own.

import { UsageError } from "./usage_error.ts";
import { fromUtf8 } from "./utf8.ts";

/** What {@linkcode run} reads from and writes to. */
export interface Shell {
  /** The standard input. */
  readonly stdin: ReadableStream<Uint8Array>;
  /** Aborts when the user wants to stop; the reason is an {@linkcode Interrupted}. */
  readonly signal: AbortSignal;
  /** Writes to the standard output. Resolves when it has been taken; rejects with an {@linkcode OutputClosed}. */
  out(text: string): Promise<void>;
  /** Writes to the standard error output. */
  err(text: string): Promise<void>;
  /** How large the terminal is that the standard output goes to; undefined if it goes elsewhere. */
  size(): TerminalSize | undefined;
  /** Whether the standard error output goes to a terminal. */
  errIsTerminal(): boolean;
  /** Reads a text file; rejects if it is not UTF-8. */
  readTextFile(path: string): Promise<string>;
  /** A variable of the environment, where the program may read it. */
  env(name: string): string | undefined;
}

/** The size of a terminal, in characters. */
export interface TerminalSize {
  /** Characters in a line. */
  readonly columns: number;
  /** Lines. */
  readonly rows: number;
}

/** The user wants to stop. */
export class Interrupted extends Error {
  /** Its name. */
  override readonly name = "Interrupted";
  /** What the program ends with: 128 and the number of the signal. */
  readonly code: number;

  /**
   * Says that the user wants to stop.
   *
   * @param code What the program is to end with, such as 130 for SIGINT
   */
  constructor(code: number) {
    super("Interrupted");
    this.code = code;
  }
}

/** Nobody reads the output any more, as behind `| head`. */
export class OutputClosed extends Error {
  /** Its name. */
  override readonly name = "OutputClosed";
}

/** The signals that end the program, with what it then ends with. Windows knows no SIGTERM. */
const SIGNALS: readonly (readonly [Deno.Signal, number])[] = Deno.build.os === "windows"
  ? [["SIGINT", 130]]
  : [["SIGINT", 130], ["SIGTERM", 143]];

/** The shell of this process. From now on its signals abort; the second of a kind ends it at once. */
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
        // Deno's error would show what the variable holds, which may be a secret.
        throw new UsageError(`The variable ${name} is not UTF-8`);
      }
    },
  };
}

async function write(to: { write(bytes: Uint8Array): Promise<number> }, text: string): Promise<void> {
  let bytes: Uint8Array = new TextEncoder().encode(text);
  try {
    while (bytes.length > 0) bytes = bytes.subarray(await to.write(bytes));
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) throw new OutputClosed("Nobody reads the output any more");
    throw error;
  }
}
