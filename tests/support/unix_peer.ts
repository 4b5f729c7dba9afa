// Serves, calls and ends over a Unix socket, and writes down what came of it. Run by unix_test.ts as a process of its own,
// since the permission for a socket has to name its path.

import { connect } from "../../client/mod.ts";
import { Server } from "../../server/mod.ts";

const path = Deno.args[0]!;
const address = `unix@${path}`;
const seen: Record<string, unknown> = {};

/** What an attempt fails with. */
async function failure(attempt: () => Promise<unknown>): Promise<string> {
  try {
    await attempt();
    return "nothing";
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
}

function exists(): boolean {
  try {
    return Deno.lstatSync(path) !== undefined;
  } catch {
    return false;
  }
}

{
  await using server = new Server();
  server.register("Echo", {
    echo: (value: unknown) => value,
    peer: (_: unknown, { peer }: { peer: { address: string } }) => peer.address,
  });
  const listening = await server.listen(address);
  seen.address = listening.address;
  seen.existsWhileListening = exists();
  seen.taken = await failure(() => new Server().listen(address));
  seen.existsAfterTaken = exists();
  await using client = await connect(address);
  seen.echo = await client.call("Echo.echo", { a: [1, "x"] });
  const large = new Uint8Array(3_000_000).fill(7);
  seen.large = await client.call<Uint8Array>("Echo.echo", large).then((got) =>
    got.every((byte) => byte === 7)
  );
  seen.peer = await client.call("Echo.peer");
  await listening.close();
  seen.existsAfterClose = exists();
  seen.stillConnected = await client.call("Echo.echo", 2);
  seen.refused = await failure(() => connect(address));
  // What lies there is no socket of ours: it is left alone.
  Deno.writeTextFileSync(path, "precious");
  seen.inTheWay = await failure(() => server.listen(address));
  seen.precious = Deno.readTextFileSync(path);
  Deno.removeSync(path);
  // As a process leaves it that is killed: closing would have removed it.
  const killed = Deno.listen({ transport: "unix", path });
  Deno.renameSync(path, `${path}.kept`);
  killed.close();
  Deno.renameSync(`${path}.kept`, path);
  seen.stale = await failure(() => server.listen(address));
  seen.existsAfterStale = exists();
  Deno.removeSync(path);
  await server.listen(address);
  seen.existsAgain = exists();
}
seen.existsAtTheEnd = exists();
// deno-lint-ignore no-console
console.log(JSON.stringify(seen));
