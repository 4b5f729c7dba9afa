// The PROXY protocol as HAProxy and nginx send it, in front of tcp@, tls@ and http@, and what HAProxy's health checks do.

import { assertEquals, assertStringIncludes } from "@std/assert";
import { type CallContext, connect, Server } from "../../mod.ts";
import { pem } from "../support/certs.ts";
import { nginxStreams, proxiesPresent, Proxy, type ProxyKind } from "../support/proxy_process.ts";
import { until } from "../support/waiting.ts";
import { portOf } from "../support/wire_harness.ts";

const KINDS: readonly [kind: ProxyKind, name: string, present: boolean][] = [
  [{ command: "haproxy", proxyProtocol: 1 }, "HAProxy, version 1", proxiesPresent.haproxy],
  [{ command: "haproxy", proxyProtocol: 2 }, "HAProxy, version 2", proxiesPresent.haproxy],
  [{ command: "nginx", proxyProtocol: 1 }, "nginx, version 1", proxiesPresent.nginx && nginxStreams],
];

for (const [kind, name, present] of KINDS) {
  for (const transport of ["tcp", "tls", "http"]) {
    const title = `PROXY protocol: ${name}, in front of ${transport}@, names the client`;
    Deno.test(`${title}${present ? "" : " [SKIPPED: it cannot be run]"}`, { ignore: !present }, async () => {
      const log: string[] = [];
      const server = new Server({
        tls: { cert: pem("server.pem"), key: pem("server.key") },
        log: (message) => void log.push(message),
      });
      server.register("S", {
        peer: (_: unknown, { peer }: CallContext) => peer.address,
        echo: (value: unknown) => value,
      });
      const { address } = await server.listen(`${transport}@127.0.0.1:0`, {
        proxyProtocol: { from: ["127.0.0.2"] },
      });
      {
        await using proxy = await Proxy.start(kind, portOf(address));
        const client = await connect(`${transport}@127.0.0.1:${new URL(proxy.url).port}`, {
          tls: transport === "tls" ? { caCerts: [pem("ca.pem")], serverName: "localhost" } : undefined,
        });
        const seen = await client.call<string>("S.peer");
        assertStringIncludes(seen, "@127.0.0.1:");
        const peers = server.snapshot().peers.list.map((peer) => peer.address);
        assertEquals(peers, [seen]);
        const long = "x".repeat(1_000_000);
        assertEquals(await client.call("S.echo", long), long);
        await client.close();
        if (kind.command === "haproxy") {
          await until(() => server.stats().probes >= 5, "health checks");
        }
        assertEquals({ refused: server.stats().refused, log }, { refused: 0, log: [] });
      }
      await server.close();
    });
  }
}
