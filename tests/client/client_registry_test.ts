// All of it together over a network: servers announce themselves, a client finds and balances over them, servers come
// and go, and the registry may die.

import { assertEquals } from "@std/assert";
import { announce, connect, Registry, RegistryDiscovery, Server } from "../../mod.ts";
import { fails } from "../support/session_pair.ts";
import { until } from "../support/waiting.ts";

async function start(url: string, name: string) {
  const server = new Server().register("S", { who: () => name });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const registration = await announce(url, { address, services: ["S"] }, { ttl: 3_600_000, interval: 100 });
  return { server, address, registration };
}

Deno.test("registry: servers that announce themselves are found, balanced over and left in good order", async () => {
  await using registry = new Registry({ ttl: 3_600_000 });
  const http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
  const url = `http://127.0.0.1:${http.addr.port}`;
  const one = await start(url, "one");
  const two = await start(url, "two");

  await using client = await connect(new RegistryDiscovery(url, { refreshInterval: 30 }));
  const who = () => client.call<string>("S.who");
  const counts = async (calls: number) => {
    // All are connected before anything is counted: a server that is slow to connect is passed over.
    await client.broadcast("S.who");
    const names = await Promise.all(Array.from({ length: calls }, who));
    return Object.fromEntries(
      ["one", "two", "three"].map((name) => [name, names.filter((n) => n === name).length]),
    );
  };
  assertEquals(await counts(40), { one: 20, two: 20, three: 0 });

  // One leaves, in the order in which a program should.
  await one.registration.close();
  await until(() => client.stats().endpoints.length === 1, "the client has heard that it leaves");
  await one.server.shutdown({ grace: 60_000 });
  assertEquals(await counts(10), { one: 0, two: 10, three: 0 });

  // Another joins.
  const three = await start(url, "three");
  await until(() => client.stats().endpoints.length === 2, "the client has heard that it joined");
  assertEquals(await counts(20), { one: 0, two: 10, three: 10 });

  // The registry dies: clients do not notice.
  await http.shutdown();
  await new Promise((resolve) => setTimeout(resolve, 150));
  for (let n = 0; n < 20; n++) await who();
  assertEquals(client.stats().endpoints.length, 2);
  // Not even when a server dies with it.
  await three.server.close();
  for (let n = 0; n < 20; n++) assertEquals(await who(), "two");

  await Promise.all([two.registration.close(), three.registration.close()]);
  await two.server.close();
  await fails(who(), "unavailable", "None of 2 servers");
});

Deno.test("registry: a client that starts before the registry waits for it", async () => {
  const before = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = before.addr;
  before.close();
  const url = `http://127.0.0.1:${port}`;
  await fails(
    connect(new RegistryDiscovery(url), { connectTimeout: 1_000 }),
    "unavailable",
    `The discovery found no list of servers within 1000 ms (connectTimeout): Cannot reach registry at ${url}/_rpc_/registry: `,
  );
  const silent = new RegistryDiscovery(url, {
    fetch: (_, { signal }) =>
      new Promise((_, reject) => signal!.addEventListener("abort", () => reject(signal!.reason))),
  });
  const unanswered =
    `The discovery found no list of servers within 200 ms (connectTimeout): The registry at ${url}/_rpc_/registry has not answered yet`;
  await fails(connect(silent, { connectTimeout: 200 }), "unavailable", unanswered);
  const connecting = connect(new RegistryDiscovery(url, { refreshInterval: 30 }));
  const starting = start(url, "one");
  await using registry = new Registry();
  await using _http = Deno.serve({ hostname: "127.0.0.1", port, onListen: () => {} }, registry.fetch);
  const { server, registration } = await starting;
  await using client = await connecting;
  await until(() => client.stats().endpoints.length === 1, "the client has heard of it");
  assertEquals(await client.call("S.who"), "one");
  await registration.close();
  await server.close();
});
