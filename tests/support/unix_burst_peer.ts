// Clients that connect to a Unix socket at once, more than may wait to be accepted there. Run by unix_test.ts as a process
// of its own, as unix_peer.ts is.

import { connect } from "../../client/mod.ts";
import { Server } from "../../server/mod.ts";

const [path = "", full = ""] = Deno.args;

/** How many of 1500 clients that connect at once do so. 1025 connections fit into the queue of Deno 2.9. */
async function burst(): Promise<number> {
  await using server = new Server().register("Echo", { echo: (value: unknown) => value });
  const { address } = await server.listen(`unix@${path}`);
  const dials = await Promise.allSettled(Array.from({ length: 1_500 }, () => connect(address)));
  const clients = dials.flatMap((dial) => dial.status === "fulfilled" ? [dial.value] : []);
  await Promise.all(clients.map((client) => client.close()));
  return clients.length;
}

/** What dialling and listening fail with where the queue is full and nothing is accepted. */
async function atFullQueue(): Promise<string[]> {
  using _listener = Deno.listen({ transport: "unix", path: full });
  const waiting: Deno.Conn[] = [];
  try {
    while (waiting.length < 100_000) waiting.push(await Deno.connect({ transport: "unix", path: full }));
  } catch {
    // It is full.
  }
  await using server = new Server();
  const failures = await Promise.allSettled([
    connect(`unix@${full}`, { connectTimeout: 50 }),
    server.listen(`unix@${full}`),
  ]);
  for (const conn of waiting) conn.close();
  return failures.map((failure) =>
    failure.status === "rejected" ? String(failure.reason.message) : "nothing"
  );
}

// deno-lint-ignore no-console
console.log(JSON.stringify({ connected: await burst(), failures: await atFullQueue() }));
