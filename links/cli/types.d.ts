// What @std/cli declares for the function re-exported beside this file.
export interface ParseOptions {
  boolean?: boolean | string | readonly string[];
  string?: string | readonly string[];
  collect?: string | readonly string[];
  negatable?: string | readonly string[];
  alias?: Record<string, string | readonly string[]>;
  default?: Record<string, unknown>;
  stopEarly?: boolean;
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}
export declare function parseArgs(
  args: readonly string[],
  options?: ParseOptions,
  // deno-lint-ignore no-explicit-any
): { [name: string]: any; _: (string | number)[] };
