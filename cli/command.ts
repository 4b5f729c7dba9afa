// What a command is to the rest of the program: what it takes, what it says of itself, what it does. One table of these
// (commands.ts) is what run.ts, the help and the completions are made of.

import type { Flag, Flags } from "./flags.ts";
import type { Shell } from "./shell.ts";

/** A command line that was read. */
export interface Invocation {
  /** What stands beside the flags. */
  readonly operands: readonly string[];
  readonly flags: Flags;
  readonly shell: Shell;
  /** Aborts when the user interrupts, or the command has what it wanted. */
  readonly signal: AbortSignal;
}

/** A command of the program. */
export interface Command {
  readonly name: string;
  /** What it does, in a line. */
  readonly summary: string;
  /** What stands beside its flags, such as `ADDRESS METHOD [JSON]`; what may be left out is in brackets. */
  readonly operands: string;
  /** What the first operands may be, for the completions. */
  readonly choices?: readonly string[];
  /** More about it, for its help. */
  readonly about: string;
  readonly flags: readonly Flag[];
  /** Command lines, without the program's name, and what they do. */
  readonly examples: readonly (readonly [string, string])[];
  /**
   * Does it.
   *
   * @returns The exit code, if it is not 0
   */
  run(invocation: Invocation): Promise<number | void>;
}
