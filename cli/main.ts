/**
 * The command-line program: calls methods, lists and describes services, pings, benchmarks and watches servers.
 *
 * ```sh
 * deno run -N jsr:@troodon/rpc/cli call localhost:9000 Arith.sum '{"a": 1, "b": 2}'
 * ```
 *
 * @example Running a command from another program
 * ```ts
 * import { run, type Shell } from "@troodon/rpc/cli";
 * import { assertStringIncludes } from "@std/assert";
 *
 * let printed = "";
 * const shell: Shell = {
 *   stdin: new ReadableStream(),
 *   signal: new AbortController().signal,
 *   out: async (text) => void await (printed += text),
 *   err: async (text) => void await (printed += text),
 *   size: () => undefined,
 *   errIsTerminal: () => false,
 *   readTextFile: (path) => Deno.readTextFile(path),
 *   env: () => undefined,
 * };
 * const code = await run(["call", "tcp@127.0.0.1:1", "Arith.sum"], shell);
 * console.log(code); // 1
 * assertStringIncludes(printed, "Cannot connect to tcp@127.0.0.1:1");
 * ```
 *
 * @module
 */

import { run } from "./run.ts";
import { OutputClosed, processShell } from "./shell.ts";

export { run };
export { Interrupted, OutputClosed, type Shell, type TerminalSize } from "./shell.ts";

if (import.meta.main) {
  // Pending operations, such as a read of the input, must not keep the process alive.
  Deno.exit(
    await run(Deno.args, processShell()).catch((error) => {
      if (error instanceof OutputClosed) return 141;
      throw error;
    }),
  );
}
