// RPC over TLS: nothing is said before the certificate has been checked, and a listener survives any client.

import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  type CallContext,
  RpcError,
  Server,
  type ServerOptions,
  type ServerTlsOptions,
} from "../../server/mod.ts";
import { connect, type ConnectOptions } from "../../client/mod.ts";
import { pem } from "../support/certs.ts";
import { call, Kind } from "../support/frames.ts";
import { dialAndReset, RawPeer } from "../support/raw_peer.ts";
import { bytes, OPTION } from "../support/raw_peer.ts";
import { dialTls } from "../../transport/tls.ts";
import { dialShowing } from "../../transport/tls_dial.ts";
import { listenTls } from "../../transport/tls_listener.ts";
import { assertBothWays, BOTH_WAYS } from "../support/both_ways.ts";
import { Pair } from "../support/session_pair.ts";
import { until } from "../support/waiting.ts";
import { assertLives, portOf } from "../support/wire_harness.ts";

const CA = pem("ca.pem");
const TRUST: ConnectOptions = { tls: { caCerts: [CA] } };

/** The certificate and the key of a server. */
function identity(name: string): { cert: string; key: string } {
  return { cert: pem(`${name}.pem`), key: pem(`${name}.key`) };
}

/** A server over TLS. */
async function open(options: ServerOptions = {}, host = "127.0.0.1") {
  const log: string[] = [];
  const server = new Server({
    tls: identity("server"),
    log: (...all) => log.push(Deno.inspect(all)),
    ...options,
  });
  server.register("Echo", {
    echo: (value: unknown) => value,
    large: (size: number) => new Uint8Array(size).fill(7),
    peer: (_: unknown, { peer }: CallContext) => peer.address,
  });
  const { address } = await server.listen(`tls@${host}:0`);
  return { server, address, port: portOf(address), log, [Symbol.asyncDispose]: () => server.close() };
}

/** A raw peer after the TLS handshake. */
async function dial(port: number, alpnProtocols?: string[]): Promise<RawPeer> {
  const socket = await Deno.connectTls({ hostname: "127.0.0.1", port, caCerts: [CA], alpnProtocols });
  try {
    await socket.handshake();
  } catch (error) {
    socket.close();
    throw error;
  }
  return RawPeer.over(socket);
}

Deno.test("tls: calls go through, by IP address and by name, and each side knows how the other came", async () => {
  for (const host of ["127.0.0.1", "localhost"]) {
    await using at = await open({}, host);
    assertMatch(at.address, /^tls@/);
    await using client = await connect(at.address, TRUST);
    assertEquals(await client.call("Echo.echo", { a: [1, "x"] }), { a: [1, "x"] });
    assertMatch(await client.call<string>("Echo.peer"), /^tls@127\.0\.0\.1:\d+$/);
  }
});

Deno.test("tls: many calls side by side, and replies of 5 MiB", async () => {
  await using at = await open({ maxFrameBytes: 8_388_608 });
  await using client = await connect(at.address, { ...TRUST, maxFrameBytes: 8_388_608 });
  const calls = Array.from({ length: 500 }, (_, i) => client.call<number>("Echo.echo", i));
  const large = [
    client.call<Uint8Array>("Echo.large", 5_242_880),
    client.call<Uint8Array>("Echo.large", 5_242_880),
  ];
  assertEquals(await Promise.all(calls), calls.map((_, i) => i));
  for (const reply of await Promise.all(large)) {
    assertEquals(reply.length, 5_242_880);
    assert(reply.every((byte) => byte === 7));
  }
  const sent = new Uint8Array(5_242_880).fill(9);
  assertEquals(await client.call("Echo.echo", sent), sent);
});

Deno.test("tls: an answer does not wait for the acknowledgement of the one before", async () => {
  await using at = await open();
  at.server.register("Slow", { later: (ms: number) => new Promise((resolve) => setTimeout(resolve, ms)) });
  const { address } = await at.server.listen("tcp@127.0.0.1:0");
  await using overTls = await connect(at.address, TRUST);
  await using overTcp = await connect(address);
  const took = async ({ call }: { call: (method: string, args?: unknown) => Promise<unknown> }) => {
    const began = performance.now();
    await Promise.all([call("Echo.echo"), call("Slow.later", 2), call("Slow.later", 4)]);
    return performance.now() - began;
  };
  let [tls, tcp] = [Infinity, Infinity];
  for (let i = 0; i < 20; i++) {
    tls = Math.min(tls, await took({ call: (method, args) => overTls.call(method, args) }));
    tcp = Math.min(tcp, await took({ call: (method, args) => overTcp.call(method, args) }));
  }
  // An acknowledgement is delayed by 40 ms; without one to wait for, it takes the 4 ms of the handler.
  assert(tls < 5 * tcp, `${tls} ms over TLS, ${tcp} ms over TCP`);
});

Deno.test("tls: a client that ends its side gets all pending answers, 5 MiB of them", async () => {
  await using at = await open({ maxFrameBytes: 8_388_608 });
  using peer = await dial(at.port, ["troodon/1"]);
  const option = '{"magicNumber":3927900,"maxFrameBytes":8388608}\n';
  await peer.send(bytes(option, call(1, "Echo.large", 5_242_880), call(3, "Echo.echo", "small")));
  await peer.end();
  assertEquals(JSON.parse((await peer.line())!).version, 1);
  const frames = await peer.rest();
  const replies = frames.filter(({ kind }) => kind === Kind.reply);
  assertEquals(replies.map(({ seq }) => seq).sort(), [1, 3]);
  assert(replies.some(({ body }) => body.length > 5_242_880));
});

Deno.test("tls: a client that says no protocol may come, one that says only others may not", async () => {
  await using at = await open();
  using peer = await dial(at.port);
  await peer.send(OPTION);
  assertEquals(JSON.parse((await peer.line())!).version, 1);
  await assertLives(peer, 1);
  await assertRejects(() => dial(at.port, ["h2", "http/1.1"]), Error, "NoApplicationProtocol");
  await until(() => at.server.stats().refused === 1, "the refusal to be counted");
});

const NOT_TRUSTED: [string, string, ConnectOptions, RegExp][] = [
  [
    "of an unknown authority",
    "server",
    {},
    /UnknownIssuer; trust the authority .* with the option tls\.caCerts$/,
  ],
  [
    "that is an authority's",
    "self_signed",
    { tls: { caCerts: [pem("self_signed.pem")] } },
    /basicConstraints=CA:FALSE$/,
  ],
  ["of another authority", "server", { tls: { caCerts: [pem("other_ca.pem")] } }, /UnknownIssuer/],
  ["for another name", "elsewhere", TRUST, /not valid for name/],
  [
    "for another name than was asked for",
    "server",
    { tls: { caCerts: [CA], serverName: "elsewhere.example" } },
    /not valid for name/,
  ],
  ["that has expired", "expired", TRUST, /expired/],
];

for (const [what, name, options, reason] of NOT_TRUSTED) {
  Deno.test(`tls: a certificate ${what} fails connect(), and not a byte of the option is sent`, async () => {
    using listener = Deno.listenTls({ hostname: "127.0.0.1", port: 0, ...identity(name) });
    const received = (async () => {
      const conn = await listener.accept();
      try {
        return await conn.read(new Uint8Array(4_096));
      } catch (error) {
        return (error as Error).message;
      } finally {
        conn.close();
      }
    })();
    const address = `tls@127.0.0.1:${portOf(`:${(listener.addr as Deno.NetAddr).port}`)}`;
    const log: string[] = [];
    const error = await assertRejects(
      () => connect(address, { ...options, token: "a secret", log: (...all) => log.push(Deno.inspect(all)) }),
      RpcError,
    );
    assertEquals([error.code, error.notStarted, error.remote], ["unavailable", true, false]);
    assertStringIncludes(error.message, `Cannot connect to ${address}: `);
    assertMatch(error.message, reason);
    assertMatch(String(await received), /alert/);
    assert(!`${Deno.inspect(error)}${log}`.includes("secret"));
  });
}

Deno.test("tls: serverName is what the certificate must be for", async () => {
  await using at = await open({ tls: identity("elsewhere") });
  const tls = { caCerts: [CA], serverName: "elsewhere.example" };
  await using client = await connect(at.address, { tls });
  assertEquals(await client.call("Echo.echo", 1), 1);
});

Deno.test("tls: a client never speaks plainly, whatever the server says", async () => {
  const heard: number[] = [];
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    const conn = await listener.accept();
    const chunk = new Uint8Array(4_096);
    heard.push(...chunk.subarray(0, await conn.read(chunk) ?? 0));
    const plain = '{"magicNumber":3927900,"version":1,"codecType":"application/cbor","handleTimeout":0,' +
      '"maxFrameBytes":4194304,"maxInFlight":1024,"heartbeatInterval":30000}\n';
    await conn.write(new TextEncoder().encode(plain));
    for (let count; (count = await conn.read(chunk).catch(() => null)) !== null;) {
      heard.push(...chunk.subarray(0, count));
    }
    conn.close();
  })();
  const error = await assertRejects(
    () => connect(`tls@127.0.0.1:${listener.addr.port}`, { ...TRUST, token: "a secret" }),
    RpcError,
  );
  assertEquals(error.code, "unavailable");
  await serving;
  const text = new TextDecoder("latin1").decode(Uint8Array.from(heard));
  assert(!text.includes("magicNumber") && !text.includes("secret"));
});

Deno.test("tls: a mismatch of TLS and plain TCP is reported on both sides", async () => {
  await using at = await open();
  const log: string[] = [];
  await using plain = new Server({ log: (message) => log.push(message) }).register("S", { ok: () => "ok" });
  const { address } = await plain.listen("tcp@127.0.0.1:0");
  const cases: [string, RegExp][] = [
    [at.address.replace("tls@", "tcp@"), /got TLS; the server uses TLS; use an address with tls@ or wss@$/],
    [at.address.replace("tls@", "http@"), /got TLS; the server uses TLS; use an address with tls@ or wss@$/],
    [
      at.address.replace("tls@", "wss@"),
      /NoApplicationProtocol; for RPC over TLS use an address with tls@, for HTTPS one with wss@$/,
    ],
    [address.replace("tcp@", "tls@"), /; the server does not use TLS; use an address with tcp@ or ws@$/],
  ];
  for (const [wrong, message] of cases) {
    const error = await assertRejects(
      () => connect(wrong, { ...TRUST, secure: false, connectTimeout: 5_000 }),
      RpcError,
    );
    assertMatch(error.message, message);
    assert(!error.message.includes("no answer within"), "it was found out, not waited for");
  }
  await until(() => log.length === 1, "the refusal to be logged");
  assertMatch(log[0]!, /^Refused .* expected one line of JSON, got TLS$/);
});

Deno.test("tls: silent, plain and aborting clients neither block nor end the listener", async () => {
  await using at = await open({ handshakeTimeout: 2_000 });
  using silent = await RawPeer.dial(at.port);
  using plain = await RawPeer.dial(at.port);
  await plain.send(OPTION);
  using half = await RawPeer.dial(at.port);
  await half.send(bytes(0x16, 3, 1, 2, 0, 1));
  for (const data of [bytes(), bytes(0x16, 3, 1), bytes(OPTION)]) await dialAndReset(at.port, data);
  using ends = await RawPeer.dial(at.port);
  await ends.end();

  await using client = await connect(at.address, TRUST);
  assertEquals(await client.call("Echo.echo", "meanwhile"), "meanwhile");
  await plain.gone();
  await ends.gone();
  // Cut off, not only forgotten.
  await silent.gone();
  await half.gone();
  // A client that ends silently is not refused; of the three others one may have reset before it was looked at.
  await until(() => at.server.stats().refused >= 3, "all to be refused");
  assertEquals(at.server.stats().connections, 1);
  assertEquals(await client.call("Echo.echo", "afterwards"), "afterwards");
  await using another = await connect(at.address, TRUST);
  assertEquals(await another.call("Echo.echo", 1), 1);
  assertEquals(silent.held, 0);
});

Deno.test("tls: a client that says nothing after the TLS handshake is refused in time, and receives the refusal", async () => {
  await using at = await open({ handshakeTimeout: 100 });
  using peer = await dial(at.port);
  assertEquals(JSON.parse((await peer.line())!).error.code, "deadline_exceeded");
  assertEquals(await peer.line(), null);
});

Deno.test("tls: a client gives up on a server that is silent in the TLS handshake", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepted = listener.accept();
  const error = await assertRejects(
    () => connect(`tls@127.0.0.1:${listener.addr.port}`, { ...TRUST, connectTimeout: 200 }),
    RpcError,
  );
  assertEquals(error.code, "unavailable");
  (await accepted).close();
});

Deno.test("tls: a client receives the reason of a refusal, and tokens go nowhere else", async () => {
  await using at = await open({ authenticate: (token) => token === "right" });
  const error = await assertRejects(() => connect(at.address, { ...TRUST, token: "wrong secret" }), RpcError);
  assertEquals([error.code, error.remote], ["unauthenticated", true]);
  await using client = await connect(at.address, { ...TRUST, token: "right" });
  assertEquals(await client.call("Echo.echo", 1), 1);
  assert(!at.log.join().includes("secret") && !at.log.join().includes("PRIVATE KEY"));
});

Deno.test("tls: both sides call, and stream, over one connection", async () => {
  const listener = await listenTls({ hostname: "127.0.0.1", port: 0 }, identity("server"));
  const { port } = listener;
  const [dialled, accepted] = await Promise.all([
    dialTls({ hostname: "127.0.0.1", port }, { caCerts: [CA] }, new AbortController().signal),
    listener.accept(),
  ]);
  listener.close();
  assertEquals(await listener.accept(), null);
  await using pair = new Pair([dialled, accepted!], BOTH_WAYS);
  await assertBothWays(pair);
});

for (const reader of ["server", "client", "client with a certificate"] as const) {
  Deno.test(`tls: a ${reader} that does not read makes its peer wait, and then reads everything`, async () => {
    await using at = await tlsPair(reader === "client with a certificate");
    const [reading, writing] = reader === "server" ? [at.accepted, at.dialled] : [at.dialled, at.accepted];
    await using other = await tlsPair(false);
    const size = 64_000_000;
    let written = 0;
    const filling = (async () => {
      const part = new Uint8Array(60_000);
      while (written < size) {
        part.fill(written / part.length);
        for (let from = 0; from < part.length;) from += await writing.write(part.subarray(from));
        written += part.length;
      }
      await writing.closeWrite();
    })();
    // The same amount through another connection of this process takes as long, so it would all have been taken.
    const passing = (async () => {
      const part = new Uint8Array(60_000);
      for (let sent = 0; sent < size;) sent += await other.dialled.write(part);
      await other.dialled.closeWrite();
    })();
    const chunk = new Uint8Array(50_000);
    while (await other.accepted.read(chunk) !== null);
    await passing;
    // What is below TLS, the system's buffers, takes some megabytes.
    assert(written < size / 2, `${written} bytes were taken although nothing was read`);
    let read = 0;
    for (let count; (count = await reading.read(chunk)) !== null;) {
      for (let i = 0; i < count; i++, read++) {
        if (chunk[i] !== (Math.floor(read / 60_000) & 255)) throw new Error(`Wrong at ${read}`);
      }
    }
    await filling;
    assertEquals(read, written);
  });
}

/** Two ends of one connection over TLS. */
async function tlsPair(mutual: boolean) {
  const listener = await listenTls({ hostname: "127.0.0.1", port: 0 }, {
    ...identity("server"),
    ...(mutual ? { clientCaCerts: [pem("client_ca.pem")] } : {}),
  });
  const to = { hostname: "127.0.0.1", port: listener.port };
  const { signal } = new AbortController();
  const [dialled, accepted] = await Promise.all([
    mutual
      ? dialShowing(to, { caCerts: [CA], ...identity("client") }, signal)
      : dialTls(to, { caCerts: [CA] }, signal),
    listener.accept(),
  ]);
  listener.close();
  return {
    dialled,
    accepted: accepted!,
    [Symbol.asyncDispose]() {
      dialled.close();
      accepted!.close();
      return Promise.resolve();
    },
  };
}

Deno.test("tls: shutdown lets what was accepted finish, close() does not wait", async () => {
  for (const end of ["shutdown", "close"] as const) {
    const started = Promise.withResolvers<void>();
    const go = Promise.withResolvers<string>();
    await using at = await open();
    at.server.register("Slow", {
      work: () => {
        started.resolve();
        return go.promise;
      },
    });
    await using client = await connect(at.address, TRUST);
    const working = client.call("Slow.work").catch((error) => error.code);
    await started.promise;
    const ending = at.server[end]();
    if (end === "shutdown") go.resolve("done");
    assertEquals(await working, end === "shutdown" ? "done" : "unavailable");
    go.resolve("late");
    await ending;
    assertEquals(at.server.stats().connections, 0);
  }
});

Deno.test("tls: an end without close_notify is a loss, and the client comes back by itself", async () => {
  await using at = await open();
  const relays: Deno.Conn[] = [];
  using relay = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const relaying = (async () => {
    const under: Promise<void>[] = [];
    for await (const near of relay) {
      const far = await Deno.connect({ hostname: "127.0.0.1", port: at.port });
      relays.push(near, far);
      under.push(pump(near, far), pump(far, near));
    }
    await Promise.all(under);
  })();
  await using client = await connect(`tls@127.0.0.1:${relay.addr.port}`, TRUST);
  assertEquals(await client.call("Echo.echo", 1), 1);
  at.server.register("Never", { ends: () => new Promise(() => {}) });
  const lost = client.call("Never.ends").catch((error: RpcError) => error);
  await until(() => at.server.stats().inFlight === 1, "the call to be started");
  for (const conn of relays.splice(0)) conn.close();
  const error = await lost as RpcError;
  assertEquals([error.code, error.notStarted], ["unavailable", false]);
  assertEquals(await client.call("Echo.echo", 2, { idempotent: true }), 2);
  await client.close();
  relay.close();
  for (const conn of relays) {
    try {
      conn.close();
    } catch {
      // It has gone already.
    }
  }
  await relaying;
});

async function pump(from: Deno.Conn, to: Deno.Conn): Promise<void> {
  const chunk = new Uint8Array(65_536);
  try {
    for (let count; (count = await from.read(chunk)) !== null;) {
      for (let at = 0; at < count;) at += await to.write(chunk.subarray(at, count));
    }
    await to.closeWrite();
  } catch {
    // One of them has gone.
  }
}

Deno.test("tls: the error for a missing or invalid certificate says what to do", async () => {
  const listen = (options: ServerOptions, address = "tls@127.0.0.1:0") => new Server(options).listen(address);
  await assertRejects(() => listen({}), TypeError, "give the server a certificate, as its option tls");
  await assertRejects(
    () => listen({}, "ws@127.0.0.1:0"),
    TypeError,
    "listen on http@, which accepts WebSockets too",
  );
  await assertRejects(
    () => listen({}, "wss@127.0.0.1:0"),
    TypeError,
    "listen on http@, which accepts WebSockets too",
  );
  const { cert, key } = identity("server");
  for (const tls of [{ cert: cert.slice(0, 99), key }, { cert, key: pem("elsewhere.key") }]) {
    const error = await assertRejects(() => listen({ tls }), Error, "Cannot listen on tls@127.0.0.1:0: ");
    assert(!Deno.inspect(error).includes("secret") && !Deno.inspect(error).includes("BEGIN"));
  }
  for (
    const [tls, name] of [[{ cert: "cert.pem", key }, "tls.cert"], [
      { cert, key: "a secret" },
      "tls.key",
    ]] as const
  ) {
    const message = `Cannot use ${name}: expected text in PEM, with a line -----BEGIN; to use a file, pass`;
    assert(!assertThrows(() => new Server({ tls }), TypeError, message).message.includes("secret"));
  }
  // deno-lint-ignore no-explicit-any
  assertThrows(() => new Server({ tls: { cert } as any }), TypeError, "expected cert and key as text");
});

Deno.test("tls: a renewed certificate is used for new connections, existing ones stay", async () => {
  await using at = await open({ tls: identity("elsewhere") });
  const listening = await at.server.listen("tls@127.0.0.1:0");
  const tls = { caCerts: [CA], serverName: "elsewhere.example" };
  await using before = await connect(listening.address, { tls });
  assertEquals(await before.call("Echo.echo", 1), 1);
  await assertRejects(() => connect(listening.address, TRUST), RpcError, "not valid for name");

  listening.renew(identity("server"));
  await using after = await connect(listening.address, TRUST);
  assertEquals(await after.call("Echo.echo", 2), 2);
  await assertRejects(() => connect(listening.address, { tls }), RpcError, "not valid for name");
  assertEquals(await before.call("Echo.echo", 3), 3);
  // Each place where a server listens is renewed by itself.
  await using elsewhere = await connect(at.address, { tls });
  assertEquals(await elsewhere.call("Echo.echo", 4), 4);
});

Deno.test("tls: clients can be asked for certificates from a renewal on", async () => {
  await using server = new Server({ tls: identity("server") }).register("Echo", { echo: () => "here" });
  const listening = await server.listen("tls@127.0.0.1:0");
  await using before = await connect(listening.address, TRUST);
  listening.renew({ clientCaCerts: [pem("client_ca.pem")] });
  await assertRejects(() => connect(listening.address, TRUST), RpcError);
  // What is left out stays.
  listening.renew(identity("server"));
  listening.renew({ ...identity("server"), clientCaCerts: undefined });
  await assertRejects(() => connect(listening.address, TRUST), RpcError);
  await using client = await connect(listening.address, { tls: { ...TRUST.tls, ...identity("client") } });
  assertEquals([await client.call("Echo.echo"), await before.call("Echo.echo")], ["here", "here"]);
});

Deno.test("tls: a renewal that is invalid says why, and the certificate before stays in use", async () => {
  await using at = await open();
  const listening = await at.server.listen("tls@127.0.0.1:0");
  const { cert, key } = identity("server");
  const wrong: [unknown, string][] = [
    [{ cert: pem("elsewhere.pem") }, `Cannot renew ${listening.address}: the key in the option tls does not`],
    [
      { cert: cert.slice(0, 99), key },
      `Cannot renew ${listening.address}: the option tls requires a certificate`,
    ],
    [
      { clientCaCerts: [cert.slice(0, 99)] },
      `Cannot renew ${listening.address}: the option tls.clientCaCerts`,
    ],
    [{ cert: "cert.pem" }, "Cannot use tls.cert: expected text in PEM"],
    [{ key: 1 }, "Cannot use tls: expected cert and key as text in PEM"],
    [{ clientCaCerts: [] }, "Cannot use tls.clientCaCerts: expected a list"],
    [{ certs: cert }, 'Cannot renew: unknown option "certs"; did you mean "cert"?'],
    [undefined, "Cannot renew: expected an object with options"],
  ];
  for (const [tls, message] of wrong) {
    const error = assertThrows(() => listening.renew(tls as Partial<ServerTlsOptions>), TypeError, message);
    assert(!Deno.inspect(error).includes("BEGIN CERT") && !Deno.inspect(error).includes("BEGIN PRIV"));
  }
  await using client = await connect(listening.address, TRUST);
  assertEquals(await client.call("Echo.echo", 1), 1);
  const plain = await at.server.listen("tcp@127.0.0.1:0");
  assertThrows(
    () => plain.renew({ cert, key }),
    TypeError,
    `Cannot renew ${plain.address}: only tls@ addresses have a certificate`,
  );
});

Deno.test("tls: caCerts must be PEM text", async () => {
  const wrong: unknown[] = [
    { caCerts: "text" },
    { caCerts: [1] },
    { serverName: 1 },
    { caCerts: [CA, "tests/certs/ca.pem"] },
  ];
  for (const tls of wrong) {
    await assertRejects(
      () => connect("tls@127.0.0.1:1", { tls } as ConnectOptions),
      TypeError,
      "Cannot use tls.",
    );
  }
});
