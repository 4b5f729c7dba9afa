// A server process of the cluster: announces itself, serves until it is stopped, and then shuts down
// gracefully. Started by main.ts with the registry's URL, a name, and the duration of a call in ms.

import { announce, type CallContext, Server } from "../../mod.ts";

const [registryUrl, name, delay] = Deno.args as [string, string, string];

/** The service of every server. */
class Work {
  /** An idempotent call that takes some time. */
  async look(_id: number, { signal }: CallContext): Promise<string> {
    await pause(Number(delay), signal);
    return name;
  }

  /** Like `look`, but not idempotent: reports each execution to its caller before it starts. */
  async book(id: number, { peer, signal }: CallContext): Promise<string> {
    await peer.call("Book.started", id);
    await pause(Number(delay), signal);
    return name;
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

const server = new Server().register(new Work());
const { address } = await server.listen("tcp@127.0.0.1:0");
const registration = await announce(registryUrl, { address, services: ["Work"] }, { ttl: 1_000 });
Deno.addSignalListener("SIGTERM", async () => {
  // Leave the list first, so that clients send no further calls.
  await registration.shutdown(server);
  Deno.exit();
});
Deno.stdout.writeSync(new TextEncoder().encode(`${address}\n`));
