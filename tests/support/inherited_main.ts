// A socket that outlives the servers that use it, as systemd holds one. `parent PATH` opens it, lets two servers have it one after
// the other, calls them, and prints what it saw as JSON; `server NAME` is such a server. Run by inherited_socket_test.ts as a
// process of its own, since the permission for a socket has to name its path.

import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { connect } from "../../client/mod.ts";
import { type CallContext, Server } from "../../server/mod.ts";

/** What a server says about itself. */
interface Who {
  name: string;
  addresses: readonly string[];
  address: string;
  peer: string;
}

async function serve(name: string): Promise<void> {
  const server = new Server();
  const left = Promise.withResolvers<void>();
  // Without the process that holds the socket it ends, too.
  void new Response(Deno.stdin.readable).text().finally(() => Deno.exit(1));
  server.register("Who", {
    is: (_: unknown, { peer }: CallContext) => {
      return { name, address: listening.address, addresses: server.addresses, peer: peer.address };
    },
    echo: (value: unknown) => value,
    leave: () => left.resolve(),
    untilDraining: (_: unknown, { draining }: CallContext) =>
      new Promise((resolve) => draining.addEventListener("abort", () => resolve(name))),
  });
  const refused = await server.listen("fd@3", { proxyProtocol: { from: ["10.0.0.0/8"] } }).catch(String);
  if (typeof refused !== "string" || !refused.includes("proxyProtocol is for TCP sockets")) throw refused;
  const listening = await server.listen("fd@4");
  await left.promise;
  await server.shutdown();
  Deno.exit();
}

async function hold(path: string): Promise<void> {
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(path, resolve));
  const { fd } = (holder as unknown as { _handle: { fd: number } })._handle;
  const script =
    `for name in one two; do deno run --no-check --no-prompt ${import.meta.url} server $name 4<&3; done`;
  // The shell keeps the socket while its servers come and go. Each gets it twice, since a refused attempt closes its descriptor.
  const shell = spawn("sh", ["-ec", script], { stdio: ["pipe", "ignore", "ignore", fd] });
  const ended = new Promise<number | null>((resolve) => shell.on("exit", resolve));
  // Closing removes the file.
  Deno.renameSync(path, `${path}.kept`);
  await new Promise((resolve) => holder.close(resolve));
  Deno.renameSync(`${path}.kept`, path);

  const options = { connectTimeout: Infinity, timeout: Infinity };
  await using client = await connect(`unix@${path}`, options);
  const one = await client.call<Who>("Who.is");
  const large = await client.call<Uint8Array>("Who.echo", new Uint8Array(3_000_000).fill(7));
  const inFlight = client.call("Who.untilDraining");
  await client.call("Who.leave");
  const drained = await inFlight;
  await using late = await connect(`unix@${path}`, options);
  const two = await late.call<Who>("Who.is");
  const moved = (await client.call<Who>("Who.is")).name;
  await client.call("Who.leave");
  const seen = { one, large: large.every((byte) => byte === 7), drained, two, moved, code: await ended };
  // deno-lint-ignore no-console
  console.log(JSON.stringify(seen));
}

const [role, argument] = Deno.args;
await (role === "server" ? serve(argument!) : hold(argument!));
