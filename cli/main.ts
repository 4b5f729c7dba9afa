/**
 * The command line: calls methods, lists and describes services, pings, benches and watches servers.
 *
 * ```sh
 * deno run -N jsr:@troodon/rpc/cli call localhost:9000 Arith.sum '{"a": 1, "b": 2}'
 * ```
 *
 * @module
 */

import { run } from "./run.ts";
import { OutputClosed, processShell } from "./shell.ts";

export { run };
export { Interrupted, OutputClosed, type Shell, type TerminalSize } from "./shell.ts";

if (import.meta.main) {
  // What is left under way, such as a read of the input, is not waited for.
  Deno.exit(
    await run(Deno.args, processShell()).catch((error) => {
      if (error instanceof OutputClosed) return 141;
      throw error;
    }),
  );
}
