// What browser_test.ts runs in a browser, bundled: a client over a WebSocket, which writes down what it sees and reports
// it to the page's server.

import { connect, type RpcError } from "../client/mod.ts";

const seen: Record<string, unknown> = {};
try {
  seen.deno = "Deno" in globalThis;
  const address = `ws@${location.host}`;
  await using client = await connect(address, { token: "from a browser" });
  seen.sum = await client.call("Arith.sum", { a: 1, b: 2 });
  const calls = Array.from({ length: 1_000 }, (_, i) => client.call<number>("Echo.echo", i));
  seen.many = (await Promise.all(calls)).every((value, i) => value === i);
  const sent = new Uint8Array(3_000_000).map((_, i) => i * 7);
  const got = await client.call<Uint8Array>("Echo.echo", sent);
  seen.large = got.length === sent.length && got.every((byte, i) => byte === sent[i]);
  seen.failed = await client.call("Echo.fail").catch((error: RpcError) => [error.code, error.message]);
  seen.late = await client.call("Echo.never", null, { timeout: 100 }).catch((error: RpcError) => error.code);
  seen.json = await connect(address, { token: "from a browser", codecType: "application/json" })
    .then(async (client) => await client.call("Echo.echo", [1, "x"]).finally(() => client.close()));
  seen.refused = await connect(address, { token: "no" }).catch((error: RpcError) => error.code);
  seen.plain = await connect(`tcp@${location.host}`).catch((error: RpcError) => error.code);
} catch (error) {
  seen.error = `${error} ${(error as Error).stack}`;
}
await fetch("/report", { method: "POST", body: JSON.stringify(seen) });
