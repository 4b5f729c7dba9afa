// Tokens: how they are compared, where they may go, and where they are never seen.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  connect,
  type ConnectOptions,
  MultiServers,
  oneOfTokens,
  requireToken,
  RpcError,
  Server,
} from "../../mod.ts";
import { sendToken } from "../../client/mod.ts";
import { parseAddress } from "../../discovery/endpoint.ts";
import type { Network } from "../../transport/conn.ts";
import { isWithin, reachOf } from "../../transport/secure.ts";
import { pem } from "../support/certs.ts";
import { open, refused } from "../support/handshake_live.ts";
import { fails } from "../support/session_pair.ts";
import { until } from "../support/waiting.ts";

const SECRET = "s3cr3t-0f-th3-t3st";

Deno.test("tokens: each of the given tokens is accepted, and no other", async () => {
  const holds = oneOfTokens([SECRET, "another", "☺"]);
  for (const token of [SECRET, "another", "☺"]) assertEquals(await holds(token), true, token);
  const wrong = [
    undefined,
    "",
    SECRET.slice(1),
    SECRET.slice(0, -1),
    `${SECRET} `,
    `${SECRET}\0`,
    "Another",
    "null",
  ];
  for (const token of wrong) assertEquals(await holds(token), false, token);
  for (const token of [null, 1, {}, [SECRET]] as unknown as string[]) assertEquals(await holds(token), false);
});

Deno.test("tokens: every byte of every digest counts", async () => {
  // Of 3000 tokens some digests agree in their first byte, and in their last.
  const tokens = Array.from({ length: 3_000 }, (_, i) => `token ${i}`);
  const holds = oneOfTokens(tokens.slice(0, 1_500));
  const held = await Promise.all(tokens.map((token) => holds(token)));
  assertEquals(held, tokens.map((_, i) => i < 1_500));
});

Deno.test("tokens: an empty list of tokens is refused", () => {
  for (const tokens of [[], [""], ["a", ""], [undefined], [1]] as string[][]) {
    assertThrows(() => oneOfTokens(tokens), TypeError, "Cannot use tokens");
  }
  assertThrows(() => oneOfTokens("secret"), TypeError, "expected an array, got one string");
});

Deno.test("tokens: oneOfTokens serves authenticate and requireToken", async () => {
  await using server = new Server({ authenticate: oneOfTokens([SECRET]) })
    .use(requireToken(oneOfTokens(["of calls"])))
    .register("Echo", { echo: (value: unknown) => value });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await fails(connect(address), "unauthenticated");
  await fails(connect(address, { token: "wrong" }), "unauthenticated");
  await using bare = await connect(address, { token: SECRET });
  await fails(bare.call("Echo.echo", 1), "unauthenticated");
  await using client = await connect(address, { token: SECRET, interceptors: [sendToken(() => "of calls")] });
  assertEquals(await client.call("Echo.echo", 1), 1);
});

/** All that can be seen of something, however deep. */
function allOf(...seen: unknown[]): string {
  return Deno.inspect(seen, { depth: 100, iterableLimit: 1e4, strAbbreviateSize: 1e6, showHidden: true });
}

Deno.test("tokens: logs, errors and figures of a server never contain a token, valid or not", async () => {
  const log: unknown[] = [];
  await using server = new Server({
    authenticate: oneOfTokens([SECRET]),
    log: (...all) => log.push(all),
    tls: { cert: pem("server.pem"), key: pem("server.key") },
  });
  server.use(requireToken(oneOfTokens([SECRET]))).register("Echo", { echo: (value: unknown) => value });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const seen: unknown[] = [];
  for (const token of [SECRET, `wrong ${SECRET}`]) {
    const interceptors = [sendToken(() => `wrong ${SECRET}`)];
    const client = await connect(address, { token, interceptors }).catch((error) => error);
    seen.push(client, client.stats?.());
    if (client instanceof RpcError) continue;
    seen.push(await client.call("Echo.echo", 1).catch((error: unknown) => error));
    await client.close();
  }
  const { refused: before } = server.stats();
  using conn = await Deno.connect({ hostname: "127.0.0.1", port: Number(address.split(":")[1]) });
  await conn.write(new TextEncoder().encode(`{"magicNumber":3927900,"token":{"is":"${SECRET}"}}\n`));
  const answer = new Uint8Array(4_096);
  seen.push(new TextDecoder().decode(answer.subarray(0, await conn.read(answer) ?? 0)));
  await until(() => server.stats().refused > before, "it to be counted");
  const page = await (await server.fetch(new Request("http://x/debug/rpc"))).text();
  const all = allOf(seen, log, server, server.stats(), page);
  assert(!all.includes(SECRET), all);
  assert(!all.includes("PRIVATE KEY"));
  assert(log.length >= 2, "something was logged at all");
});

Deno.test("tokens: an error never contains a token of a wrong type, not even its beginning", async () => {
  await using at = await open();
  for (const token of [12345678, ["hush"], { hush: 1 }, null, true]) {
    using peer = await at.dial();
    await peer.send(`${JSON.stringify({ magicNumber: 3_927_900, token })}\n`);
    const { code, message } = await refused(peer);
    assertEquals(code, "invalid_argument");
    assert(!/hush|123|null|true/.test(message), message);
  }
  assert(!/hush|123/.test(at.log.map((line) => line.replace(/127\.0\.0\.1:\d+/, "")).join()), at.log.join());
});

Deno.test("tokens: errors of a client that cannot connect contain no token, nor do their causes", async () => {
  const log: unknown[] = [];
  const dialled: ConnectOptions = { token: SECRET, log: (...all) => log.push(all), connectTimeout: 200 };
  const answers = [
    "",
    "nonsense\n",
    '{"error":{"code":"unauthenticated","message":"no"}}\n',
    '{"magicNumber":1}\n',
    null,
  ];
  for (const answer of answers) {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const serving = (async () => {
      using conn = await listener.accept();
      await conn.read(new Uint8Array(4_096));
      if (answer !== null) return void await conn.write(new TextEncoder().encode(answer));
      while (await conn.read(new Uint8Array(4_096)).catch(() => null) !== null);
    })();
    const error = await assertRejects(
      () => connect(`tcp@127.0.0.1:${listener.addr.port}`, dialled),
      RpcError,
    );
    await serving;
    assert(!allOf(error, log).includes(SECRET), allOf(error, log));
  }
});

const ADDRESSES = [
  "tls@10.0.0.7:1",
  "wss@10.0.0.7:1",
  "unix@/run/app.sock",
  "tcp@127.0.0.1:1",
  "tcp@127.1.2.3:1",
  "tcp@[::1]:1",
  "ws@localhost:1",
  "http@LOCALHOST:1",
  "tcp@10.0.0.7:1",
  "tcp@0.0.0.0:1",
  "tcp@[::2]:1",
  "tcp@localhost.example:1",
  "tcp@127.0.0.1.example:1",
  "ws@example.org:1",
  "http@10.0.0.7:1",
];

Deno.test("secure: which addresses may be dialed, by options", () => {
  const cases: [ConnectOptions, number][] = [
    [{}, ADDRESSES.length],
    [{ secure: true }, 3],
    [{ secure: false, token: "x", tls: {} }, ADDRESSES.length],
    [{ tls: {} }, 3],
    [{ tls: { caCerts: [] }, token: "x" }, 3],
    [{ token: "x" }, 8],
    [{ token: "" }, 8],
    [{ token: "x", secure: true }, 3],
  ];
  for (const [options, count] of cases) {
    const reach = reachOf(options);
    const allowed = ADDRESSES.filter((address) => isWithin(reach, parseAddress(address)));
    assertEquals(allowed, ADDRESSES.slice(0, count), JSON.stringify(options));
  }
  assertThrows(() => reachOf({ secure: "yes" as unknown as boolean }), TypeError, "Cannot use secure");
});

Deno.test("secure: a plain address from a discovery is not dialed, and calls go to the others", async () => {
  using plain = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  let dialled = 0;
  const accepting = (async () => {
    for await (const conn of plain) {
      dialled++;
      conn.close();
    }
  })();
  await using server = new Server({
    authenticate: oneOfTokens([SECRET]),
    tls: { cert: pem("server.pem"), key: pem("server.key") },
  });
  server.register("Echo", { echo: (value: unknown) => value });
  const { address } = await server.listen("tls@127.0.0.1:0");
  const lured = `tcp@127.0.0.1:${plain.addr.port}`;
  const options: ConnectOptions = { token: SECRET, tls: { caCerts: [pem("ca.pem")] } };
  {
    await using client = await connect(new MultiServers([lured, address]), options);
    for (let i = 0; i < 10; i++) assertEquals(await client.call("Echo.echo", i), i);
    assertEquals(client.stats().endpoints[0]?.state, "failing");
  }
  const error = await assertRejects(() => connect(lured, options), RpcError, "pass secure: false");
  assertEquals([error.code, error.notStarted], ["failed_precondition", true]);
  assert(error.message.includes(lured));
  // With a token alone, the network is what counts: this is TEST-NET-1, where no host is.
  await assertRejects(() => connect("tcp@192.0.2.1:9", { token: SECRET }), RpcError, "pass secure: false");
  assertEquals(dialled, 0);
  // And who says so gets it.
  await assertRejects(() => connect(lured, { ...options, secure: false }), RpcError, "Cannot connect to");
  await until(() => dialled > 0, "it to be dialled");
  plain.close();
  await accepting;
});

/** A hello of TLS 1.1 and below, as far as servers look at it: version, random, one suite, no compression. */
function oldHello(minor: number): Uint8Array<ArrayBuffer> {
  const body = [3, minor, ...Array(32).fill(7), 0, 0, 2, 0x00, 0x2f, 1, 0];
  const message = [1, 0, 0, body.length, ...body];
  return Uint8Array.from([0x16, 3, 1, 0, message.length, ...message]);
}

for (const [name, minor] of [["1.0", 1], ["1.1", 2]] as const) {
  Deno.test(`secure: TLS ${name} is refused by servers and by clients`, async () => {
    await using server = new Server({ tls: { cert: pem("server.pem"), key: pem("server.key") } });
    const { address } = await server.listen("tls@127.0.0.1:0");
    using conn = await Deno.connect({ hostname: "127.0.0.1", port: Number(address.split(":")[1]) });
    await conn.write(oldHello(minor));
    const answer = new Uint8Array(100);
    const count = await conn.read(answer).catch(() => null);
    // An alert, protocol_version (RFC 8446 section 6) or a failure in general; or just the end.
    if (count !== null) assertEquals([answer[0], [40, 70].includes(answer[6]!)], [0x15, true]);
    await until(() => server.stats().refusals.tls === 1, "it to be counted");

    // A server that answers in the old version: its hello, with a suite of then.
    for (const shown of [{}, { cert: pem("client.pem"), key: pem("client.key") }]) {
      using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const serving = (async () => {
        using accepted = await listener.accept();
        await accepted.read(new Uint8Array(4_096));
        const hello = [3, minor, ...Array(32).fill(7), 0, 0x00, 0x2f, 0];
        await accepted.write(
          Uint8Array.from([0x16, 3, minor, 0, hello.length + 4, 2, 0, 0, hello.length, ...hello]),
        );
        const alert = new Uint8Array(100);
        await accepted.read(alert).catch(() => null);
        return alert[0];
      })();
      const dialling = connect(`tls@127.0.0.1:${listener.addr.port}`, {
        tls: { caCerts: [pem("ca.pem")], ...shown },
      });
      assertEquals((await assertRejects(() => dialling, RpcError)).code, "unavailable");
      assert([0, 0x15].includes((await serving)!), "an alert, or the end");
    }
  });
}

Deno.test("secure: a client with sendToken sends no token unencrypted to another machine, unless secure is false", async () => {
  let sent = 0;
  const interceptors = [sendToken(() => `${++sent}`)];
  let dialled = 0;
  const network: Network = {
    dial: () => {
      dialled++;
      return Promise.reject(new Error("Connection refused"));
    },
    listen: () => Promise.reject(new Error("Cannot listen")),
  };
  const elsewhere = (options: ConnectOptions) =>
    connect("tcp@192.0.2.1:1", { ...options, network, connectTimeout: 50 });
  const error = await assertRejects(
    () => elsewhere({ interceptors }),
    RpcError,
    "connects only over TLS",
  );
  assertEquals([error.code, dialled], ["failed_precondition", 0]);
  for (const options of [{ interceptors, secure: false }, {}]) {
    dialled = 0;
    await assertRejects(() => elsewhere(options), RpcError);
    assertEquals(dialled > 0, true);
  }
  await using server = new Server().register("Echo", { echo: (value: unknown) => value });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using here = await connect(address, { interceptors });
  assertEquals([await here.call("Echo.echo", 1), sent], [1, 1]);
  await assertRejects(
    () => connect(address, { interceptors, secure: true }),
    RpcError,
    "connects only over TLS",
  );
});
