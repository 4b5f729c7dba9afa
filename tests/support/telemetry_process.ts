// deno-lint-ignore-file no-console -- what it prints is how it talks to its test
// A program that knows nothing of telemetry: `server` prints its address and serves until its input ends, `client ADDRESS`
// makes a few calls, `alone` is a registry, a server and a client in one.

import {
  announce,
  type CallContext,
  connect,
  Registry,
  RegistryDiscovery,
  RpcError,
  Server,
} from "../../mod.ts";

async function serve(): Promise<void> {
  await using server = new Server().register("Shop", {
    buy: async (_: string, { peer }: CallContext) => await peer.call("Customer.confirm"),
    *list() {
      yield* ["tea", "coffee"];
    },
    steal() {
      throw new RpcError("permission_denied", "No");
    },
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  console.log(address);
  for await (const _ of Deno.stdin.readable);
}

async function call(address: string): Promise<void> {
  await using client = await connect(address, { services: { Customer: { confirm: () => "yes" } } });
  const list = await Array.fromAsync(client.stream("Shop.list"));
  const bought = await client.call("Shop.buy", list[0]);
  const stolen = await client.call("Shop.steal").catch(({ code }: RpcError) => code);
  console.log(JSON.stringify([list, bought, stolen]));
}

async function alone(): Promise<void> {
  await using registry = new Registry();
  await using web = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, registry.fetch);
  const url = `http://127.0.0.1:${web.addr.port}/_rpc_/registry`;
  await using server = new Server().register("Echo", { echo: (value: unknown) => value });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using _registration = await announce(url, { address, services: ["Echo"] });
  await using client = await connect(new RegistryDiscovery(url));
  console.log(await client.call("Echo.echo", "anybody there?"));
}

const [role, address] = Deno.args;
if (role === "server") await serve();
else if (role === "alone") await alone();
else await call(address!);
