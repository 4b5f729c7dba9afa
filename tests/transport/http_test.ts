// RPC on a port that also speaks HTTP: the ways in, and everything that is not one.

import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { connect } from "../../client/mod.ts";
import { Server, type ServerOptions } from "../../server/mod.ts";
import { call, headerOf } from "../support/frames.ts";
import { bodyOf, bytes, OPTION, RawPeer } from "../support/raw_peer.ts";
import { until } from "../support/waiting.ts";
import { assertLives, portOf } from "../support/wire_harness.ts";

/** A server on an HTTP port. */
async function open(options: ServerOptions = {}, path = "") {
  const server = new Server(options);
  server.register("Echo", { echo: (value: unknown) => value });
  const { address } = await server.listen(`http@127.0.0.1:0${path}`);
  const port = portOf(address);
  return {
    server,
    address,
    port,
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: () => server.close(),
    /** Sends a request by hand and returns all that comes back. */
    async ask(request: string | Uint8Array): Promise<string> {
      using peer = await RawPeer.dial(port);
      await peer.send(request);
      return await peer.text();
    },
  };
}

/** The status of an answer, and that it is a whole one: as long as it says, and then the end. */
function statusOf(answer: string): number {
  const [head, ...rest] = answer.split("\r\n\r\n");
  assertMatch(answer, /^HTTP\/1\.1 [2-5]\d\d \S/);
  assertMatch(head!, /\r\nconnection: close/i);
  assertEquals(rest.join("\r\n\r\n").length, Number(/\r\ncontent-length: (\d+)/i.exec(head!)![1]));
  return Number(answer.slice(9, 12));
}

const CONNECTED = "HTTP/1.0 200 Connected to RPC\r\n\r\n";
const SWITCHED = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: rpc\r\n\r\n";

const WAYS_IN: [string, string, string][] = [
  ["CONNECT as Go's net/rpc sends it", "CONNECT /_rpc_ HTTP/1.0\n\n", CONNECTED],
  ["CONNECT with CR LF", "CONNECT /_rpc_ HTTP/1.0\r\n\r\n", CONNECTED],
  ["CONNECT with headers and HTTP/1.1", "CONNECT /_rpc_ HTTP/1.1\r\nHost: x:1\r\nX: y\r\n\r\n", CONNECTED],
  [
    "GET with Upgrade",
    "GET /_rpc_ HTTP/1.1\r\nHost: example.org:9000\r\nConnection: Upgrade\r\nUpgrade: rpc\r\n\r\n",
    SWITCHED,
  ],
  [
    "GET with Upgrade in other cases",
    "GET /_rpc_ HTTP/1.1\r\nhost: x\r\nCONNECTION: keep-alive, upgrade\r\nuPGRADE:RPC\r\n\r\n",
    SWITCHED,
  ],
];

for (const [way, request, answer] of WAYS_IN) {
  Deno.test(`http: ${way} leads to RPC, option and calls in the same write or a byte at a time`, async () => {
    await using at = await open();
    const whole = bytes(request, OPTION, call(1, "Echo.echo", "early"));
    for (const cuts of [[], [request.length], [request.length - 1], whole.keys()]) {
      using peer = await RawPeer.dial(at.port);
      await peer.sendCut(whole, cuts);
      let got = "";
      while (!got.endsWith("\r\n\r\n")) got += `${await peer.line()}\n`;
      assertEquals(got, answer);
      assertEquals(JSON.parse((await peer.line())!).version, 1);
      const reply = await peer.frame();
      assertEquals([reply?.header, bodyOf(reply!)], [headerOf.reply(1), "early"]);
      await assertLives(peer, 3);
    }
  });
}

Deno.test("http: the handshake after the head is checked as on TCP", async () => {
  await using at = await open();
  using peer = await RawPeer.dial(at.port);
  await peer.send("CONNECT /_rpc_ HTTP/1.0\n\n", '{"magicNumber":1}\n');
  const [, refusal] = (await peer.text()).split("\r\n\r\n");
  assertEquals(JSON.parse(refusal!).error.code, "invalid_argument");
});

Deno.test("http: the head counts as part of the handshake's time", async () => {
  await using at = await open({ handshakeTimeout: 100 });
  const began = performance.now();
  for (const begin of ["", "CONNECT /_rpc_ HT", "CONNECT /_rpc_ HTTP/1.0\n\n"]) {
    await at.ask(begin);
  }
  const took = performance.now() - began;
  assert(took > 280, `${took} ms`);
  await until(() => at.server.stats().refused === 3, "all to be counted");
});

Deno.test("http: other requests to the RPC path get 405, with a hint", async () => {
  await using at = await open();
  for (
    const request of [
      "GET /_rpc_ HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET /_rpc_?x=1 HTTP/1.1\r\nHost: x\r\n\r\n",
      "POST /_rpc_ HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
      "PUT /_rpc_ HTTP/1.0\r\n\r\n",
      "TRACE /_rpc_ HTTP/1.1\r\nHost: x\r\n\r\n",
    ]
  ) {
    const answer = await at.ask(request);
    assertEquals(statusOf(answer), 405, request);
    assertMatch(answer, /\r\nallow: CONNECT, GET\r\n/i);
  }
});

Deno.test("http: other paths belong to fetch", async () => {
  await using at = await open();
  for (
    const path of ["/", "/_rpc", "/_rpc_/x", "/favicon.ico", "/%00", "/constructor", "//x/debug/rpc", "//[/"]
  ) {
    assertEquals(statusOf(await at.ask(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)), 404, path);
  }
  assertEquals(statusOf(await at.ask("CONNECT /other HTTP/1.0\r\n\r\n")), 405);
  assertEquals(statusOf(await at.ask("GET /debug/rpc HTTP/1.0\n\n")), 200, "without Host");
});

Deno.test("http: HEAD is answered like GET, without the body", async () => {
  await using at = await open();
  for (const path of ["/debug/rpc", "/nothing"]) {
    const answer = await at.ask(`HEAD ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    const [head, body] = answer.split("\r\n\r\n");
    assertEquals(body, "");
    assert(Number(/content-length: (\d+)/i.exec(head!)![1]) > 0);
  }
});

Deno.test("http: an invalid request gets 400", async () => {
  await using at = await open();
  const bad = [
    "hello\r\n\r\n",
    '{"magicNumber":3927900}\n\n',
    "GET /\r\n\r\n",
    "GET / HTTP/2.0\r\n\r\n",
    "GET  / HTTP/1.1\r\n\r\n",
    "get / HTTP/1.1\r\n\r\n",
    "GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT example.org:443 HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost x\r\n\r\n",
    "GET / HTTP/1.1\r\n folded: x\r\n\r\n",
    "GET / HTTP/1.1\r\nA\0b: x\r\n\r\n",
    "GET / HTTP/1.1\r\nA: x\0y\r\n\r\n",
    "GET / HTTP/1.1\r\nA: \x01\x7f\xff\r\nB : c\r\n\r\n",
    "\r\n\r\n",
    // What a proxy in front would take for another place than it is.
    "GET /x/../debug/rpc HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /x/%2e%2e/debug/rpc HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /\\x/debug/rpc HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /debug/rpc#x HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x/debug/rpc?\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x@localhost\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x:99999\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nHost: localhost\r\n\r\n",
  ];
  for (const request of bad) assertEquals(statusOf(await at.ask(request)), 400, JSON.stringify(request));
  assertEquals(statusOf(await at.ask(bytes(0x16, 3, 1, 0, 10, 10))), 400, "a TLS hello");
});

Deno.test("http: a request with more than one Host header gets 400, also where it would begin RPC", async () => {
  await using at = await open({}, "/rpc");
  const hosts = "Host: x\r\nhOST: x\r\n";
  const upgrade = `Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${
    btoa("0".repeat(16))
  }`;
  for (
    const request of [
      `CONNECT /rpc HTTP/1.1\r\n${hosts}\r\n`,
      `GET /rpc HTTP/1.1\r\n${hosts}Connection: Upgrade\r\nUpgrade: rpc\r\n\r\n`,
      `GET /rpc HTTP/1.1\r\n${hosts}Upgrade: websocket\r\n${upgrade}\r\n\r\n`,
      `GET /healthz HTTP/1.1\r\n${hosts}\r\n`,
      "GET /healthz HTTP/1.1\r\nHost: x\r\nHost:\r\n\r\n",
    ]
  ) {
    const answer = await at.ask(request);
    assertEquals(statusOf(answer), 400, request);
    assertStringIncludes(answer, "There is more than one Host header", request);
  }
});

Deno.test("http: a head over 8 KiB gets 431, whatever it is made of", async () => {
  await using at = await open();
  const pad = "x".repeat(9_000);
  const heads = [
    `GET /${pad} HTTP/1.1\r\n\r\n`,
    `GET / HTTP/1.1\r\nA: ${pad}\r\n\r\n`,
    `GET / HTTP/1.1\r\n${"A: b\r\n".repeat(1_500)}\r\n`,
    pad.repeat(10),
    "\r".repeat(10_000),
  ];
  for (const head of heads) assertEquals(statusOf(await at.ask(head)), 431, head.slice(0, 30));
  const fits = "GET / HTTP/1.1\r\nHost: x\r\nA: \r\n\r\n";
  const exact = fits.replace("A: ", `A: ${"x".repeat(8_192 - fits.length)}`);
  assertEquals(statusOf(await at.ask(exact)), 404, "8192 bytes are not over the limit");
  assertEquals(statusOf(await at.ask(exact.replace("A: ", "A: x"))), 431);
});

Deno.test("http: a body that is sent along is thrown away, and the answer arrives", async () => {
  await using at = await open();
  const body = "x".repeat(500_000);
  const answer = await at.ask(
    `POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  assertEquals(statusOf(answer), 421);
  assertEquals(JSON.parse(answer.split("\r\n\r\n")[1]!).code, "unimplemented");
});

Deno.test("http: fetch with keep-alive gets every answer, and leaks nothing", async () => {
  await using at = await open();
  using http = Deno.createHttpClient({ poolMaxIdlePerHost: 10 });
  for (let i = 0; i < 5; i++) {
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => fetch(`${at.url}/debug/rpc`, { client: http })),
    );
    for (const answer of answers) {
      assertEquals(answer.status, 200);
      await answer.body?.cancel();
    }
  }
  assertEquals(at.server.stats().connections, 0);
});

Deno.test("http: a request that ends early, or never ends, does no harm", async () => {
  await using at = await open({ handshakeTimeout: 2_000 });
  using half = await RawPeer.dial(at.port);
  await half.send("GET / HTTP/1.1\r\nHost:");
  await half.end();
  await half.gone();
  using none = await RawPeer.dial(at.port);
  await none.end();
  assertEquals(await none.text(), "");
  assertEquals(statusOf(await at.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n")), 404);
});

Deno.test("http: a client calls over http@, by default and on a path of its own", async () => {
  for (const path of ["", "/deep/rpc"]) {
    await using at = await open({}, path);
    assertStringIncludes(at.address, path);
    await using client = await connect(at.address);
    assertEquals(await client.call("Echo.echo", [1, "x"]), [1, "x"]);
  }
});

Deno.test("http: the Host header has brackets around an IPv6 address", async () => {
  using listener = Deno.listen({ hostname: "::1", port: 0 });
  const dialing = connect(`http@[::1]:${listener.addr.port}`).catch((error) => error);
  using conn = await listener.accept();
  const head = new Uint8Array(1_024);
  const text = new TextDecoder().decode(head.subarray(0, await conn.read(head) ?? 0));
  assertStringIncludes(text, `Host: [::1]:${listener.addr.port}\r\n`);
  conn.close();
  await dialing;
});

Deno.test("http: a client that finds no RPC at the path says what it found", async () => {
  await using at = await open();
  const error = await assertRejects(() => connect(`http@127.0.0.1:${at.port}/other`), RpcError);
  assertEquals([error.code, error.notStarted], ["unavailable", true]);
  assertStringIncludes(error.message, "405");
});

Deno.test("http: a client receives the reason of a refusal", async () => {
  await using at = await open({ authenticate: (token) => token === "right" });
  const error = await assertRejects(() => connect(at.address, { token: "wrong" }), RpcError);
  assertEquals(error.code, "unauthenticated");
  await (await connect(at.address, { token: "right" })).close();
});
