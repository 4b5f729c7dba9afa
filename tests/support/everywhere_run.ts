// Runs the scenario of everywhere.ts with other programs: as a client of this process, and as a server for a client of this process. Used
// by everywhere_real_test.ts and runtimes_main.ts.

import { connect } from "../../client/mod.ts";
import { bundle } from "./bundle.ts";
import { pem } from "./certs.ts";
import { Everywhere, type Seen, type Where } from "./everywhere.ts";
import type { EverywhereServer } from "./everywhere_server.ts";
import type { Program } from "./node.ts";

/** The transports that programs with sockets can dial. */
export const TRANSPORTS = ["ws", "tcp", "tls", "unix", "http"];

/** A path that the permissions of the tests name. */
const SOCKET = "/tmp/troodon-everywhere-served.sock";

/** What a client in another program sees, by transport; a text if the scenario failed. */
export async function seenBy(
  runtime: Program,
  served: EverywhereServer,
  transports: readonly string[] = TRANSPORTS,
): Promise<Record<string, Seen | string>> {
  const script = await bundle("everywhere_node.ts");
  const output = await runtime.run(script, [JSON.stringify(served.where), ...transports]);
  return JSON.parse(output.stdout || JSON.stringify({ failed: output.stderr }));
}

/** What a client here sees of a server in another program, by transport. */
export async function seenOf(
  runtime: Program,
  use: (where: Where & { web: string }) => Promise<void> = () => Promise.resolve(),
): Promise<Record<string, Seen | string>> {
  const script = await bundle("everywhere_serve.ts");
  await Deno.remove(SOCKET).catch(() => {});
  const seen: Record<string, Seen | string> = {};
  const args = [pem("server.pem"), pem("server.key"), pem("ca.pem"), SOCKET];
  const { code, stdout, stderr } = await runtime.serve(script, args, async (line) => {
    const where = JSON.parse(line);
    for (const transport of TRANSPORTS) {
      seen[transport] = await new Everywhere(connect, where, transport).run();
    }
    await use(where);
  });
  if (code !== 0 || !stdout.endsWith("closed\n")) seen.failed = stderr;
  return seen;
}
