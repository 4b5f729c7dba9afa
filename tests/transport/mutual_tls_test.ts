// Mutual TLS: who shows no good certificate is not even read from, and handlers know who the others are.

import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import tls from "node:tls";
import { type CallContext, RpcError, Server, type ServerOptions } from "../../server/mod.ts";
import { connect, type ConnectOptions } from "../../client/mod.ts";
import { readCertificate } from "../../transport/certificate.ts";
import { assertBothWays, BOTH_WAYS } from "../support/both_ways.ts";
import { listenTls } from "../../transport/tls_listener.ts";
import { dialShowing } from "../../transport/tls_dial.ts";
import { pem } from "../support/certs.ts";
import { OPTION } from "../support/raw_peer.ts";
import { Pair } from "../support/session_pair.ts";
import { until } from "../support/waiting.ts";
import { portOf } from "../support/wire_harness.ts";

function identity(name: string): { cert: string; key: string } {
  return { cert: pem(`${name}.pem`), key: pem(`${name}.key`) };
}

const CA = pem("ca.pem");
const CLIENT_CA = pem("client_ca.pem");

/** A client that shows a certificate, or none. */
function showing(name?: string): ConnectOptions {
  return { tls: { caCerts: [CA], ...(name === undefined ? {} : identity(name)) } };
}

/** A server that asks clients for certificates. */
async function open(options: ServerOptions = {}) {
  const log: string[] = [];
  const asked: unknown[] = [];
  const server = new Server({
    tls: { ...identity("server"), clientCaCerts: [CLIENT_CA] },
    log: (...all) => log.push(Deno.inspect(all)),
    authenticate: (token) => {
      asked.push(token);
      return true;
    },
    ...options,
  });
  server.register("Who", {
    echo: (value: unknown) => value,
    am: (_: unknown, { peer }: CallContext) => peer.certificate,
  });
  const { address } = await server.listen("tls@127.0.0.1:0");
  return { server, address, port: portOf(address), log, asked, [Symbol.asyncDispose]: () => server.close() };
}

const ALICE = {
  subject: ["CN=Troodon test client"],
  alternativeNames: ["URI:spiffe://example.org/alice", "email:alice@example.org"],
  fingerprint: await fingerprintOf("client"),
};

async function fingerprintOf(name: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", derOf(pem(`${name}.pem`)));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join(":")
    .toUpperCase();
}

function derOf(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text.replace(/-----.*-----|\s/g, "")), (char) => char.charCodeAt(0));
}

Deno.test("mutual tls: handlers see the client's subject, alternative names and fingerprint", async () => {
  await using at = await open();
  await using client = await connect(at.address, { ...showing("client"), token: "and a token" });
  assertEquals(await client.call("Who.am"), ALICE);
  assertEquals(at.asked, ["and a token"], "the token is looked at as ever");
  const large = new Uint8Array(3_000_000).fill(5);
  assertEquals(await client.call("Who.echo", large), large);
});

Deno.test("mutual tls: the snapshot and, on the server's own machine, the page name the client", async () => {
  await using at = await open();
  await using _client = await connect(at.address, showing("client"));
  const { subject, alternativeNames } = ALICE;
  const [peer] = at.server.snapshot().peers.list;
  assertEquals([peer!.transport, peer!.certificate], ["tls", { subject, alternativeNames }]);
  const page = async (hostname: string) => {
    const remoteAddr = { transport: "tcp", hostname, port: 1 } as const;
    const response = await at.server.fetch(
      new Request("http://localhost/debug/rpc", { headers: { host: "localhost" } }),
      { remoteAddr },
    );
    return await response.text();
  };
  assertMatch(
    await page("127.0.0.1"),
    /<bdi>CN=Troodon test client, URI:spiffe:\/\/example\.org\/alice, email:/,
  );
  assert(!(await page("10.0.0.7")).includes("alice"));
});

Deno.test("mutual tls: without it no handler sees a certificate, whatever the client presents", async () => {
  await using at = await open({ tls: identity("server") });
  await using client = await connect(at.address, showing("client"));
  assertEquals(await client.call("Who.am"), undefined);
});

const BAD: [string, string | undefined][] = [
  ["no certificate", undefined],
  ["one that has expired", "client_expired"],
  ["one that does not hold yet", "client_early"],
  ["one of another authority of the same name", "client_twin"],
  ["one that it has signed itself", "client_self"],
  ["one that is for servers", "client_server"],
  ["one of the authority of servers", "server"],
];

for (const [what, name] of BAD) {
  Deno.test(`mutual tls: a client with ${what} is cut off before anything of it is read`, async () => {
    await using at = await open();
    const error = await assertRejects(
      () => connect(at.address, { ...showing(name), token: "a secret" }),
      RpcError,
    );
    assertEquals([error.code, error.notStarted], ["unavailable", true]);
    await until(() => at.server.stats().refused === 1, "it to be counted");
    assertEquals([at.asked, at.server.stats().accepted, at.server.stats().refusals.tls], [[], 0, 1]);
    assert(!`${Deno.inspect(error)}${at.log}`.includes("secret"));
    // The next one comes in all the same.
    await using client = await connect(at.address, showing("client"));
    assertEquals(await client.call("Who.am"), ALICE);
  });

  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    Deno.test(`mutual tls: one with ${what} that does not wait gets no answer either, over ${version}`, async () => {
      await using at = await open();
      const heard = await shout(at.port, version, name);
      assertEquals(heard, "");
      await until(() => at.server.stats().refused === 1, "it to be counted");
      assertEquals(at.asked, []);
    });
  }
}

for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
  Deno.test(`mutual tls: a good one is answered over ${version}`, async () => {
    await using at = await open();
    assertEquals(JSON.parse(await shout(at.port, version, "client")).version, 1);
  });
}

/** Sends an option after the TLS handshake without waiting for the server, and returns what comes back. */
function shout(port: number, version: "TLSv1.2" | "TLSv1.3", name: string | undefined): Promise<string> {
  return new Promise((resolve) => {
    let heard = "";
    const socket = tls.connect({
      host: "127.0.0.1",
      port,
      ca: CA,
      minVersion: version,
      maxVersion: version,
      ...(name === undefined ? {} : identity(name)),
    }, () => socket.write(OPTION));
    socket.on("data", (chunk: Uint8Array) => {
      heard += new TextDecoder().decode(chunk);
      socket.end();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(heard));
  });
}

Deno.test("mutual tls: a resumed TLS session has the identity of the first", async () => {
  await using at = await open();
  let session: Uint8Array | undefined;
  for (let i = 0; i < 3; i++) {
    const heard = await new Promise<string>((resolve) => {
      const socket = tls.connect(
        { host: "127.0.0.1", port: at.port, ca: CA, session, ...identity("client") } as tls.ConnectionOptions,
        () => socket.write(OPTION),
      );
      socket.on("session", (ticket) => session = ticket);
      socket.on("data", (chunk: Uint8Array) => {
        resolve(new TextDecoder().decode(chunk));
        socket.destroy();
      });
      socket.on("error", (error) => resolve(error.message));
    });
    assertEquals(JSON.parse(heard).version, 1);
  }
});

Deno.test("mutual tls: a client that shows a certificate checks the server's as ever", async () => {
  const wrong: [string, ConnectOptions][] = [
    ["server", { tls: { ...identity("client") } }],
    ["server", { tls: { ...identity("client"), caCerts: [pem("other_ca.pem")] } }],
    ["server", { tls: { ...identity("client"), caCerts: [CA], serverName: "elsewhere.example" } }],
    ["elsewhere", showing("client")],
    ["expired", showing("client")],
  ];
  for (const [name, options] of wrong) {
    await using at = await open({ tls: { ...identity(name), clientCaCerts: [CLIENT_CA] } });
    const error = await assertRejects(() => connect(at.address, { ...options, token: "a secret" }), RpcError);
    assertEquals([error.code, error.notStarted], ["unavailable", true]);
    assertEquals(at.asked, []);
  }
  await using at = await open({ tls: { ...identity("elsewhere"), clientCaCerts: [CLIENT_CA] } });
  const { tls } = showing("client");
  await using client = await connect(at.address, { tls: { ...tls, serverName: "elsewhere.example" } });
  assertEquals(await client.call("Who.am"), ALICE);
});

Deno.test("mutual tls: errors say what to do", async () => {
  await using at = await open();
  await using other = await open({ tls: identity("self_signed") });
  await using plain = new Server();
  const { address } = await plain.listen("tcp@127.0.0.1:0");
  const client = identity("client");
  const cases: [string, ConnectOptions["tls"], RegExp][] = [
    [
      at.address,
      { caCerts: [CA] },
      /; the server requires a client certificate: set the options tls\.cert and tls\.key$/,
    ],
    [at.address, client, /; trust the authority of the certificate with the option tls\.caCerts$/],
    [other.address, client, /; trust the authority of the certificate with the option tls\.caCerts$/],
    [
      address.replace("tcp@", "tls@"),
      client,
      /; the server does not use TLS; use an address with tcp@ or ws@$/,
    ],
  ];
  for (const [to, tls, message] of cases) {
    assertMatch((await assertRejects(() => connect(to, { tls }), RpcError)).message, message);
  }
});

Deno.test("mutual tls: a client gives up on a server that is silent in the handshake, and lets go of its socket", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepted = listener.accept();
  const error = await assertRejects(
    () => connect(`tls@127.0.0.1:${listener.addr.port}`, { ...showing("client"), connectTimeout: 200 }),
    RpcError,
  );
  assertEquals(error.code, "unavailable");
  using conn = await accepted;
  const chunk = new Uint8Array(4_096);
  // The hello, then the end.
  while (await conn.read(chunk).catch(() => null) !== null);
});

Deno.test("mutual tls: the error says that nothing listens", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const error = await assertRejects(
    () => connect(`tls@127.0.0.1:${port}`, showing("client")),
    RpcError,
    "REFUSED",
  );
  assertEquals(error.code, "unavailable");
});

Deno.test("mutual tls: both sides call, and stream, over one connection", async () => {
  const options = { ...identity("server"), clientCaCerts: [CLIENT_CA] };
  const listener = await listenTls({ hostname: "127.0.0.1", port: 0 }, options);
  const [dialled, accepted] = await Promise.all([
    dialShowing(
      { hostname: "127.0.0.1", port: listener.port },
      showing("client").tls!,
      new AbortController().signal,
    ),
    listener.accept(),
  ]);
  listener.close();
  await using pair = new Pair([dialled, accepted!], BOTH_WAYS);
  await assertBothWays(pair);
});

Deno.test("mutual tls: silence in the TLS handshake is cut in time", async () => {
  await using at = await open({ handshakeTimeout: 100 });
  using silent = await Deno.connect({ hostname: "127.0.0.1", port: at.port });
  assertEquals(await silent.read(new Uint8Array(100)).catch(() => null), null);
  await until(() => at.server.stats().refusals.handshakeTimeout === 1, "it to be counted");
});

Deno.test("mutual tls: invalid options are refused, an empty list of authorities above all", async () => {
  const server = identity("server");
  for (const clientCaCerts of [[], "text", [1], null] as unknown as string[][]) {
    assertThrows(() => new Server({ tls: { ...server, clientCaCerts } }), TypeError, "tls.clientCaCerts");
  }
  const served = (each: string) => new Server({ tls: { ...server, clientCaCerts: [CLIENT_CA, each] } });
  for (const each of ["", "certs/ca.pem"]) {
    assertThrows(() => served(each), TypeError, "Cannot use tls.clientCaCerts[1]: expected text in PEM");
  }
  for (const each of [CLIENT_CA.slice(0, 99), server.key]) {
    const error = await assertRejects(
      () => served(each).listen("tls@127.0.0.1:0"),
      TypeError,
      "tls.clientCaCerts requires certificates",
    );
    assert(!Deno.inspect(error).includes("BEGIN"));
  }
  const { cert, key } = identity("client");
  for (const tls of [{ cert }, { key }, { cert, key: 1 }] as ConnectOptions["tls"][]) {
    await assertRejects(() => connect("tls@127.0.0.1:1", { tls }), TypeError, "tls.cert and tls.key");
  }
  for (
    const [name, tls] of Object.entries({ cert: { cert: "client.pem", key }, key: { cert, key: "a secret" } })
  ) {
    const error = await assertRejects(
      () => connect("tls@127.0.0.1:1", { tls }),
      TypeError,
      `tls.${name}: expected`,
    );
    assert(!Deno.inspect(error).includes("secret"));
  }
  const mixed = { cert, key: pem("client_self.key"), caCerts: [CA] };
  await using at = await open();
  const error = await assertRejects(() => connect(at.address, { tls: mixed }), RpcError);
  assert(!Deno.inspect(error).includes("BEGIN"));
});

Deno.test("mutual tls: a name with a comma in it is one name", () => {
  // URI "https://x/, DNS:admin.example", DNS good.example; subject CN "a, CN=admin" in UTF-8, and O in T.61.
  const name = (type: number, value: string) => der(type, ...new TextEncoder().encode(value));
  const oid = (...bytes: number[]) => der(6, ...bytes);
  const subject = der(
    0x30,
    ...der(0x31, ...der(0x30, ...oid(0x55, 4, 3), ...name(12, "a, CN=admin"))),
    ...der(0x31, ...der(0x30, ...oid(0x55, 4, 10), ...der(20, 0x41, 0xe4))),
    ...der(0x31, ...der(0x30, ...oid(0x55, 4, 97), ...name(19, "VAT"))),
  );
  const names = der(
    0x30,
    ...name(0x86, "https://x/, DNS:admin.example"),
    ...name(0x82, "good.example"),
    ...der(0x87, 10, 0, 0, 1),
    ...der(0x82, 0xff),
  );
  const extension = der(0x30, ...oid(0x55, 0x1d, 17), ...der(1, 0xff), ...der(4, ...names));
  const whole = (...extensions: number[]) =>
    Uint8Array.from(
      der(
        0x30,
        ...der(
          0x30,
          ...der(0xa0, ...der(2, 2)),
          ...[1, 2, 3, 4].flatMap(() => der(0x30)),
          ...subject,
          ...der(0x30),
          ...extensions,
        ),
      ),
    );
  const certificate = readCertificate(whole(...der(0xa3, ...der(0x30, ...extension))), "AB:CD");
  assertEquals(certificate, {
    subject: ["CN=a, CN=admin", "O=#41E4", "2.5.4.97=VAT"],
    alternativeNames: ["URI:https://x/, DNS:admin.example", "DNS:good.example", "IP:10.0.0.1", "DNS:#FF"],
    fingerprint: "AB:CD",
  });
  assertEquals(readCertificate(whole(), "").alternativeNames, []);
});

/** An element of DER. */
function der(tag: number, ...content: number[]): number[] {
  const { length } = content;
  return [tag, ...length < 128 ? [length] : [0x82, length >> 8, length & 255], ...content];
}

Deno.test("mutual tls: a corrupt certificate is refused, cut or changed anywhere", () => {
  const good = derOf(pem("client.pem"));
  assertEquals(readCertificate(good, ALICE.fingerprint), ALICE);
  for (let end = 0; end < good.length; end++) {
    assertThrows(() => readCertificate(good.slice(0, end), ""), TypeError, "Cannot read certificate");
  }
  for (let at = 0; at < good.length; at++) {
    for (const byte of [0, 0x1f, 0x80, 0x84, 0xff]) {
      const changed = good.with(at, byte);
      try {
        readCertificate(changed, "");
      } catch (error) {
        assert(error instanceof TypeError && error.message.startsWith("Cannot read certificate"), `${error}`);
      }
    }
  }
});

Deno.test("mutual tls: a client shows its certificate over wss@ too, to a proxy that asks for it", async () => {
  const shown = Promise.withResolvers<string>();
  const proxy = tls.createServer({
    ...identity("server"),
    ca: CLIENT_CA,
    requestCert: true,
    rejectUnauthorized: true,
  }, (socket) => {
    socket.on("error", () => {});
    shown.resolve(`${socket.authorized} ${socket.getPeerCertificate().fingerprint256}`);
    socket.end("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", () => socket.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen({ host: "127.0.0.1", port: 0 }, () => resolve()));
  const { port } = proxy.address() as { port: number };
  await assertRejects(() => connect(`wss@localhost:${port}`, showing("client")), RpcError);
  assertEquals(await shown.promise, `true ${ALICE.fingerprint}`);
  await new Promise<void>((resolve) => proxy.close(() => resolve()));
});
