// Mutual TLS in Node and Bun, bundled. Arguments: PEM texts by name, in JSON. Prints for each client certificate what the server answered.

import { type CallContext, connect, Server } from "../../node.ts";

declare const process: { argv: string[] };

const pem = JSON.parse(process.argv[2]!) as Record<string, string>;
const server = new Server({
  tls: { cert: pem["server.pem"]!, key: pem["server.key"]!, clientCaCerts: [pem["client_ca.pem"]!] },
  log: () => {},
});
let calls = 0;
server.register("Me", {
  name: (_: unknown, { peer }: CallContext) => {
    calls++;
    return peer.certificate?.alternativeNames[0] ?? "no certificate";
  },
});
const listening = await server.listen("tls@127.0.0.1:0");
const outcomes: Record<string, unknown> = {};

async function call(
  name: string,
  tls: { cert?: string; key?: string },
  caCerts = [pem["ca.pem"]!],
): Promise<void> {
  try {
    const client = await connect(listening.address, { tls: { caCerts, ...tls }, connectTimeout: 5_000 });
    outcomes[name] = await client.call("Me.name");
    await client.close();
  } catch (error) {
    outcomes[name] = (error as { code: string }).code;
  }
}

await call("none", {});
for (
  const name of [
    "client",
    "client_expired",
    "client_early",
    "client_self",
    "client_twin",
    "client_server",
    "elsewhere",
  ]
) {
  await call(name, { cert: pem[`${name}.pem`], key: pem[`${name}.key`] });
}
await call("again", { cert: pem["client.pem"], key: pem["client.key"] });
await call("unknown server", { cert: pem["client.pem"], key: pem["client.key"] }, [
  pem["client_ca.pem"]!,
]);
outcomes.calls = calls;
listening.renew({ cert: pem["elsewhere.pem"], key: pem["elsewhere.key"] });
await call("other name", { cert: pem["client.pem"], key: pem["client.key"] });
await server.close();
// deno-lint-ignore no-console -- how it reports
console.log(JSON.stringify(outcomes));
