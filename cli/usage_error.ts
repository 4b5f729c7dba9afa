// The error of whoever typed the command line. Ends the program with code 2.

/** The command line, or what was typed into the input, is not what a command takes. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
