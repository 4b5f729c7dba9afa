// deno-lint-ignore-file no-console -- what it prints is how it talks to its test
// A program that knows nothing of telemetry: `server` prints its address and serves until its input ends, `client ADDRESS`
// makes a few calls.

import { type CallContext, connect, RpcError, Server } from "../mod.ts";

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

const [role, address] = Deno.args;
if (role === "server") await serve();
else await call(address!);
