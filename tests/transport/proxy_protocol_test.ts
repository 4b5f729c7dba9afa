// Servers behind proxies that name their clients: the header before TCP, TLS and HTTP, and connections without it. Also what
// servers say of connections that speak another protocol, or nothing.

import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import net from "node:net";
import { type CallContext, connect, type ListenOptions, Server, type ServerOptions } from "../../mod.ts";
import { IpRanges } from "../../transport/ip_ranges.ts";
import { pem } from "../support/certs.ts";
import { bytes, dialAndReset, OPTION, RawPeer } from "../support/raw_peer.ts";
import { until } from "../support/waiting.ts";
import { portOf } from "../support/wire_harness.ts";

const TLS = { cert: pem("server.pem"), key: pem("server.key") };
const FROM_HERE = { proxyProtocol: { from: ["127.0.0.0/8", "::1"] } };
const V1 = bytes("PROXY TCP4 10.1.2.3 10.0.0.1 8080 80\r\n");
const SIGNATURE = bytes("\r\n\r\n", 0, "\r\nQUIT\n");
const V2 = bytes(SIGNATURE, 0x21, 0x11, 0, 12, 10, 1, 2, 3, 10, 0, 0, 1, 0x1f, 0x90, 0, 80);
const LOCAL = bytes(SIGNATURE, 0x20, 0, 0, 0);

/** A proxy that writes `header` in front of each connection, in one piece with its first bytes or on its own. */
async function proxy(to: number, header: Uint8Array, together: boolean) {
  const server = net.createServer((client) => {
    const upstream = net.connect(to, "127.0.0.1");
    for (const socket of [client, upstream]) socket.on("error", () => {});
    upstream.setNoDelay(true);
    if (!together) upstream.write(header);
    let first = together;
    client.on("data", (data) => {
      upstream.write(first ? bytes(header, new Uint8Array(data as Uint8Array)) : data);
      first = false;
    });
    upstream.on("data", (data) => void client.write(data));
    client.on("close", () => upstream.destroy());
    upstream.on("close", () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

async function open(transport: string, options: ServerOptions = {}, listen: ListenOptions = FROM_HERE) {
  const log: string[] = [];
  const server = new Server({ tls: TLS, log: (message) => void log.push(message), ...options });
  server.register("S", {
    peer: (_: unknown, { peer }: CallContext) => peer.address,
    echo: (value: unknown) => value,
  });
  const { address } = await server.listen(`${transport}@127.0.0.1:0`, listen);
  return { server, log, port: portOf(address), [Symbol.asyncDispose]: () => server.close() };
}

const client = (transport: string, port: number) =>
  connect(`${transport}@127.0.0.1:${port}`, {
    ...transport === "tls" && { tls: { caCerts: [pem("ca.pem")], serverName: "localhost" } },
    connectTimeout: 5_000,
  });

for (const transport of ["tcp", "tls", "http", "ws"]) {
  for (const [name, header] of [["1", V1], ["2", V2]] as const) {
    for (const together of [true, false]) {
      const how = together ? "together with the first bytes" : "on its own";
      Deno.test(`PROXY protocol: over ${transport}@, version ${name}, ${how}, names the client`, async () => {
        const seen: string[] = [];
        const authenticate = (_: unknown, peer: string) => (seen.push(peer), true);
        await using at = await open(transport === "ws" ? "http" : transport, { authenticate });
        await using via = await proxy(at.port, header, together);
        await using caller = await client(transport, via.port);
        const peer = `${transport === "http" ? "tcp" : transport}@10.1.2.3:8080`;
        assertEquals(await caller.call("S.peer"), peer);
        assertEquals(seen, [peer]);
        assertEquals(at.server.snapshot().peers.list.map(({ address }) => address), [peer]);
        // More than what arrives in one piece.
        const long = "x".repeat(1_000_000);
        assertEquals(await caller.call("S.echo", long), long);
      });
    }
  }

  Deno.test(`PROXY protocol: over ${transport}@, a proxy that connects for itself keeps its address`, async () => {
    await using at = await open(transport === "ws" ? "http" : transport);
    await using via = await proxy(at.port, LOCAL, true);
    await using caller = await client(transport, via.port);
    assertStringIncludes(await caller.call<string>("S.peer"), "@127.0.0.1:");
  });
}

Deno.test("PROXY protocol: the header is required from the named sources, and refused from others", async () => {
  for (const transport of ["tcp", "tls", "http"]) {
    await using required = await open(transport);
    await assertRejects(() => client(transport, required.port));
    await until(() => required.server.stats().refusals.proxyHeader === 1, "the refusal");
    assertStringIncludes(required.log.join(), "PROXY protocol header: it is missing");
    await using other = await open(transport, {}, { proxyProtocol: { from: ["10.0.0.0/8"] } });
    await using via = await proxy(other.port, V2, true);
    await assertRejects(() => client(transport, via.port));
    await using direct = await client(transport, other.port);
    assertStringIncludes(await direct.call<string>("S.peer"), "@127.0.0.1:");
  }
});

Deno.test("PROXY protocol: maxConnectionsPerPeer counts the clients, not the proxy", async () => {
  for (const transport of ["tcp", "tls"]) {
    await using at = await open(transport, { maxConnectionsPerPeer: 1 });
    await using one = await proxy(at.port, V1, true);
    await using other = await proxy(at.port, bytes("PROXY TCP4 10.9.9.9 10.0.0.1 1 80\r\n"), true);
    {
      await using first = await client(transport, one.port);
      await using second = await client(transport, other.port);
      assertEquals([await first.call("S.echo", 1), await second.call("S.echo", 2)], [1, 2]);
      await assertRejects(() => client(transport, one.port), Error, "from one address");
      assertEquals(at.server.stats().refusals.maxConnectionsPerPeer, 1);
    }
    await until(() => at.server.stats().connections === 0, "they are gone");
    await using again = await client(transport, one.port);
    assertEquals(await again.call("S.echo", 3), 3);
  }
});

Deno.test("PROXY protocol: a header that does not arrive ends with handshakeTimeout", async () => {
  for (const transport of ["tcp", "tls"]) {
    await using at = await open(transport, { handshakeTimeout: 50 });
    using peer = await RawPeer.dial(at.port);
    await peer.send(V2.subarray(0, 20));
    await peer.gone();
    assertEquals(at.server.stats().refusals.handshakeTimeout, 1);
  }
});

Deno.test("PROXY protocol: invalid options are refused", async () => {
  await using server = new Server({ tls: TLS });
  for (const from of [[], ["10.0.0.0/33"], ["localhost"], ["10.0.0"], ["fd00::/129"], "10.0.0.0/8"]) {
    const options = { proxyProtocol: { from: from as string[] } };
    await assertRejects(() => server.listen("tcp@127.0.0.1:0", options), TypeError, "proxyProtocol.from");
  }
  const misspelled = { proxyProtocol: { form: ["10.0.0.1"] } } as unknown as ListenOptions;
  await assertRejects(() => server.listen("tcp@127.0.0.1:0", misspelled), TypeError, "form");
  await assertRejects(() => server.listen("unix@/tmp/x.sock", FROM_HERE), TypeError, "proxyProtocol");
});

Deno.test("IP ranges: what is in them", () => {
  const cases: [string, string, boolean][] = [
    ["10.0.0.0/8", "10.255.255.255", true],
    ["10.0.0.0/8", "11.0.0.0", false],
    ["10.0.0.0/8", "::ffff:10.1.2.3", true],
    ["10.1.2.3", "10.1.2.3", true],
    ["10.1.2.3", "10.1.2.4", false],
    ["0.0.0.0/0", "255.0.0.1", true],
    ["0.0.0.0/0", "fd00::1", false],
    ["fd00::/8", "fdff::1", true],
    ["fd00::/8", "fe00::1", false],
    ["::1", "0:0:0:0:0:0:0:1", true],
    ["::/0", "10.0.0.1", false],
    ["10.0.0.0/8", "unknown", false],
  ];
  for (const [range, address, expected] of cases) {
    assertEquals(new IpRanges([range]).includes(address), expected, `${address} in ${range}`);
  }
  assertThrows(() => new IpRanges(["1.2.3.256"]), TypeError, "1.2.3.256");
});

/** Connects and ends without a byte, by FIN. */
async function dialAndEnd(port: number): Promise<void> {
  using peer = await RawPeer.dial(port);
  peer.close();
}

Deno.test("probes: connections without a byte are counted, neither refused nor logged", async () => {
  for (const transport of ["tcp", "tls", "http"]) {
    for (const listen of [{}, FROM_HERE]) {
      await using at = await open(transport, {}, listen);
      const header = listen === FROM_HERE ? V2 : bytes();
      for (let n = 0; n < 3; n++) {
        await dialAndEnd(at.port);
        await dialAndReset(at.port, bytes());
        if (header.length > 0) await dialAndReset(at.port, header);
      }
      const expected = header.length > 0 ? 9 : 6;
      await until(() => at.server.stats().probes === expected, `${transport}: ${at.server.stats().probes}`);
      assertEquals({ refused: at.server.stats().refused, log: at.log }, { refused: 0, log: [] });
    }
  }
});

Deno.test("wrong protocol: TLS, HTTP and the header of a proxy are named in one line of the log", async () => {
  const hello = bytes(22, 3, 1, 0, 5, 1, 0, 0, 1, 0);
  const get = bytes("GET / HTTP/1.1\r\n\r\n");
  const cases: [string, Uint8Array, string][] = [
    ["tcp", hello, "got TLS"],
    ["tcp", get, "got HTTP"],
    ["tcp", V1, "got a header of the PROXY protocol (proxyProtocol)"],
    ["tcp", V2, "got a header of the PROXY protocol (proxyProtocol)"],
    ["http", hello, "got TLS"],
    ["http", V1, "got a header of the PROXY protocol (proxyProtocol)"],
    ["http", V2, "got a header of the PROXY protocol (proxyProtocol)"],
    ["tls", get, "expected TLS, got HTTP"],
    ["tls", V1, "expected TLS, got a header of the PROXY protocol (proxyProtocol)"],
    ["tls", V2, "expected TLS, got a header of the PROXY protocol (proxyProtocol)"],
    ["tls", bytes(OPTION), "expected TLS"],
  ];
  for (const [transport, sent, named] of cases) {
    await using at = await open(transport, {}, {});
    using peer = await RawPeer.dial(at.port);
    await peer.send(sent as Uint8Array<ArrayBuffer>);
    await peer.gone();
    await until(() => at.log.length > 0, `${transport} to log ${named}`);
    assertEquals(at.log.length, 1);
    assert(at.log[0]!.endsWith(named), at.log[0]);
  }
});
