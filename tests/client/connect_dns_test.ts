// connect() with dns@ names and with discoveries that have to be asked for changes.

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { connect, type Discovery, type Endpoint, MultiServers, Server } from "../../mod.ts";
import { connect as connectInBrowsers } from "../../client/mod.ts";
import { parseAddress } from "../../discovery/endpoint.ts";
import { announce } from "../../registry/announce.ts";
import { simulate } from "../../testing/mod.ts";
import { freePort } from "../support/programs.ts";
import { until } from "../support/waiting.ts";

/** A discovery that counts how often it is asked to look for changes. */
class Asked implements Discovery {
  refreshes = 0;
  readonly #servers: MultiServers;

  constructor(endpoints: readonly (string | Endpoint)[]) {
    this.#servers = new MultiServers(endpoints);
  }

  endpoints() {
    return this.#servers.endpoints();
  }

  watch(options?: { signal?: AbortSignal }) {
    return this.#servers.watch(options);
  }

  refresh() {
    this.refreshes++;
  }
}

Deno.test("connect: a discovery is asked for changes when a connection is lost, and when none can be made", async () => {
  const server = new Server().register("S", { ok: () => "ok" });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const discovery = new Asked([address]);
  await using client = await connect(discovery);
  assertEquals(await client.call("S.ok"), "ok");
  assertEquals(discovery.refreshes, 0);
  await server.close();
  // Once for the loss, and once for each dial that fails.
  await until(() => discovery.refreshes >= 3, "it was asked for changes");
});

Deno.test("connect: an error of refresh() is logged, and the client goes on", async () => {
  await simulate(async ({ network }) => {
    const logged: string[] = [];
    const discovery = new Asked(["tcp@away:1"]);
    discovery.refresh = () => {
      throw new Error("no refresh today");
    };
    await using client = await connect(discovery, {
      network: network.host("client"),
      log: (message) => void logged.push(message),
    });
    await assertRejects(() => client.call("S.ok"), Error, "away");
    assertEquals(logged.includes("Refreshing the servers failed"), true);
  });
});

Deno.test("connect: dns@ without a name and a port is refused", async () => {
  for (
    const target of ["dns@", "dns@api", "dns@api:0", "dns@api:65536", "dns@:1", "dns@a b:1", "dns@api:1/x"]
  ) {
    await assertRejects(() => connect(target), TypeError, "Cannot ", target);
  }
});

Deno.test("connect: dns@ is a target of connect, not an address of servers, lists or browsers", async () => {
  const name = "dns@api.example:9000";
  const message = "a dns@ name is a target of connect of @troodon/rpc";
  assertThrows(() => parseAddress(name), TypeError, message);
  assertThrows(() => new MultiServers([name]), TypeError, message);
  await assertRejects(() => new Server().listen(name), TypeError, message);
  await assertRejects(() => announce("http://127.0.0.1:1", { address: name }), TypeError, message);
  await assertRejects(() => connectInBrowsers(name), TypeError, message);
});

Deno.test("connect: a name that cannot be looked up in time is unavailable, and the error says why", async () => {
  const target = `dns@name.invalid:${freePort()}`;
  await assertRejects(() => connect(target, { connectTimeout: 50 }), Error, "name.invalid");
});
