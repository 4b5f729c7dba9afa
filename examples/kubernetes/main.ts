// deno-lint-ignore-file no-console -- the output is this program's purpose
// A server for Kubernetes: RPC on one port, probes and pages on another, and a graceful shutdown. See docs/KUBERNETES.md.

import { Server } from "../../mod.ts";

const [port = "9000", probePort = "9001"] = Deno.args;

const server = new Server({ log: console.error, maxConnectionAge: 600_000 }).register("Work", {
  do: (what: string) => new Promise((done) => setTimeout(() => done(`${what}: done`), 500)),
});
const { address } = await server.listen(`tcp@0.0.0.0:${port}`);

Deno.serve({ hostname: "0.0.0.0", port: Number(probePort), onListen() {} }, (request, info) => {
  if (new URL(request.url).pathname !== "/ready") return server.fetch(request, info);
  return server.stats().draining ? new Response("draining\n", { status: 503 }) : new Response("ready\n");
});
console.log(`ready at ${address}`);

const stopped = Promise.withResolvers<void>();
for (const signal of ["SIGTERM", "SIGINT"] as const) Deno.addSignalListener(signal, () => stopped.resolve());
await stopped.promise;
await server.shutdown({ grace: 20_000 });
Deno.exit(); // with the probes
