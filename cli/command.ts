// The interface of a command: its arguments, its help, its implementation. run.ts, the help and the
// completions are driven by one table of commands (commands.ts).

import type { Flag, Flags } from "./flags.ts";
import type { Shell } from "./shell.ts";

/** A parsed command line. */
export interface Invocation {
  /** The arguments other than flags. */
  readonly operands: readonly string[];
  readonly flags: Flags;
  readonly shell: Shell;
  /** Aborts when the user interrupts the command or the command is done. */
  readonly signal: AbortSignal;
}

/** A command of the program. */
export interface Command {
  readonly name: string;
  /** Summary in one line. */
  readonly summary: string;
  /** Names of its operands, such as `ADDRESS METHOD [JSON]`; optional ones are in brackets. */
  readonly operands: string;
  /** Possible values of the first operand, for the completions. */
  readonly choices?: readonly string[];
  /** Details for its help. */
  readonly about: string;
  readonly flags: readonly Flag[];
  /** Example command lines, without the program's name, and what they do. */
  readonly examples: readonly (readonly [string, string])[];
  /**
   * Runs the command.
   *
   * @returns The exit code, if it is not 0
   */
  run(invocation: Invocation): Promise<number | void>;
}
