// The error for invalid command lines. Ends the program with code 2.

/** Thrown if the command line or the input is invalid. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
