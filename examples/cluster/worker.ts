// One server of the cluster, in a process of its own: announces itself, works until it is told to stop, and then leaves in
// good order. Started by main.ts with the registry's URL, a name, and how long it takes for a call, in ms.

import { announce, type CallContext, Server } from "../../mod.ts";

const [registryUrl, name, delay] = Deno.args as [string, string, string];

/** What every server offers. */
class Work {
  /** Takes its time; may be done twice. */
  async look(_id: number, { signal }: CallContext): Promise<string> {
    await pause(Number(delay), signal);
    return name;
  }

  /** As `look`, but must not be done twice: it tells its caller, who keeps the book, before it begins. */
  async book(id: number, { peer, signal }: CallContext): Promise<string> {
    await peer.call("Book.begun", id);
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
  // Off the list first, so that nobody is sent here any more.
  await registration.shutdown(server);
  Deno.exit();
});
Deno.stdout.writeSync(new TextEncoder().encode(`${address}\n`));
