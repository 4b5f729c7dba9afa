// RPC over WebSockets: the Conn on both sides, what it refuses, and how it ends. Browsers are everywhere_test.ts.

import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { type CallContext, RpcError, Server, type ServerOptions } from "../../server/mod.ts";
import { connect, type ConnectOptions } from "../../client/mod.ts";
import { PlatformWebSocketConn } from "../../transport/websocket.ts";
import { WebSocketFault } from "../../transport/websocket_frames.ts";
import { call, Kind, ping } from "../support/frames.ts";
import { seeded } from "../support/random.ts";
import { bytes, framed, OPTION, RawPeer } from "../support/raw_peer.ts";
import { assertBothWays, BOTH_WAYS } from "../support/both_ways.ts";
import { Pair } from "../support/session_pair.ts";
import { soon, until } from "../support/waiting.ts";
import { assertLives } from "../support/wire_harness.ts";

const MOST_HELD = 16_777_216;

/** A server that `Deno.serve` serves. */
async function open(options: ServerOptions = {}, wrap = (server: Server) => server.fetch) {
  const log: string[] = [];
  const server = new Server({ log: (...all) => log.push(Deno.inspect(all)), ...options });
  server.register("Echo", {
    echo: (value: unknown) => value,
    large: (size: number) => new Uint8Array(size).fill(7),
    peer: (_: unknown, { peer }: CallContext) => peer.address,
  });
  const http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, wrap(server));
  const { port } = http.addr as Deno.NetAddr;
  return await Promise.resolve({
    server,
    port,
    log,
    address: `ws@127.0.0.1:${port}`,
    url: `ws://127.0.0.1:${port}/_rpc_`,
    async [Symbol.asyncDispose]() {
      await server.close();
      await http.shutdown();
    },
  });
}

/** A WebSocket by hand. */
class Raw implements AsyncDisposable {
  readonly socket: WebSocket;
  readonly conn: PlatformWebSocketConn;
  readonly peer: RawPeer;
  /** The status that it was closed with. */
  readonly closed: Promise<number>;

  constructor(url: string) {
    this.socket = new WebSocket(url);
    this.conn = new PlatformWebSocketConn(this.socket, "raw", MOST_HELD);
    this.peer = new RawPeer(this.conn);
    this.closed = new Promise((resolve) =>
      this.socket.addEventListener("close", ({ code }) => resolve(code))
    );
  }

  /** Opens one, and shakes hands. */
  static async open(url: string): Promise<Raw> {
    const raw = new Raw(url);
    await raw.conn.opened();
    await raw.peer.send(OPTION);
    assertEquals(JSON.parse((await raw.peer.line())!).version, 1);
    return raw;
  }

  async [Symbol.asyncDispose]() {
    this.conn.close();
    await soon(this.closed, "the end");
  }
}

Deno.test("websocket: calls are answered, and the server knows their origin", async () => {
  await using at = await open();
  await using client = await connect(at.address);
  assertEquals(await client.call("Echo.echo", { a: [1, "x"] }), { a: [1, "x"] });
  assertMatch(await client.call<string>("Echo.peer"), /^ws@127\.0\.0\.1:\d+$/);
  assertEquals(at.server.stats().connections, 1);
});

Deno.test("websocket: many calls side by side, and large messages both ways", async () => {
  await using at = await open({ maxFrameBytes: 8_388_608 });
  await using client = await connect(at.address, { maxFrameBytes: 8_388_608 });
  const calls = Array.from({ length: 2_000 }, (_, i) => client.call<number>("Echo.echo", i));
  const large = client.call<Uint8Array>("Echo.large", 5_242_880);
  const sent = new Uint8Array(5_242_880).map((_, i) => i);
  const echoed = client.call("Echo.echo", sent);
  assertEquals(await Promise.all(calls), calls.map((_, i) => i));
  assertEquals(await large, new Uint8Array(5_242_880).fill(7));
  assertEquals(await echoed, sent);
});

Deno.test("websocket: the borders of messages mean nothing", async () => {
  await using at = await open();
  const random = seeded(1);
  const whole = bytes(
    OPTION,
    call(1, "Echo.echo", "one"),
    call(3, "Echo.echo", "x".repeat(1_000)),
    ping(9),
  );
  const cuts = [[], [...whole.keys()], [OPTION.length - 1, OPTION.length + 3]];
  for (let i = 0; i < 20; i++) cuts.push([...whole.keys()].filter(() => random() < 0.05));
  for (const ends of cuts) {
    const raw = new Raw(at.url);
    await using _ = raw;
    await raw.conn.opened();
    let from = 0;
    for (const to of [...ends, whole.length]) {
      // Empty messages too.
      raw.socket.send(whole.slice(from, to));
      from = to;
    }
    assertEquals(JSON.parse((await raw.peer.line())!).version, 1);
    const frames = await raw.peer.frames(3);
    assertEquals(frames.map(({ kind, seq }) => [kind, seq]).sort(), [[Kind.reply, 1], [Kind.reply, 3], [
      Kind.pong,
      9,
    ]]);
  }
});

Deno.test("websocket: a text message closes with 1003, during the handshake and after it", async () => {
  await using at = await open();
  const early = new Raw(at.url);
  await early.conn.opened();
  early.socket.send(OPTION);
  assertEquals(await soon(early.closed, "the end"), 1003);
  const raw = await Raw.open(at.url);
  raw.socket.send("text");
  assertEquals(await soon(raw.closed, "the end"), 1003);
  await until(() => at.server.stats().connections === 0, "no connection to be left");
});

Deno.test("websocket: a client closes over a text message with a status that programs may use", async () => {
  const status = Promise.withResolvers<number>();
  await using http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onopen = () => socket.send("text");
    socket.onclose = ({ code }) => status.resolve(code);
    return response;
  });
  const raw = new Raw(`ws://127.0.0.1:${http.addr.port}/`);
  await raw.conn.opened();
  await assertRejects(() => raw.conn.read(new Uint8Array(10)), WebSocketFault, "expected binary messages");
  assertEquals(await soon(status.promise, "the status"), 4003);
});

Deno.test("websocket: what breaks the protocol gets GoAway, and then the end", async () => {
  for (
    const [wrong, code] of [
      [bytes("GET / HTTP/1.1"), "invalid_argument"],
      [framed(bytes()), "invalid_argument"],
      [bytes(0x5a, 0xff, 0xff, 0xff, 0xff), "resource_exhausted"],
    ] as const
  ) {
    await using at = await open();
    const raw = await Raw.open(at.url);
    await assertLives(raw.peer, 1);
    await raw.peer.send(wrong);
    const goAway = await raw.peer.frame();
    assertEquals([goAway?.kind, goAway?.header[2]], [10, code]);
    assertEquals(await soon(raw.closed, "the end"), 1002);
  }
});

Deno.test("websocket: a protocol error closes with 1002, after pending data was written", async () => {
  await using http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    const conn = new PlatformWebSocketConn(socket, "client", MOST_HELD);
    conn.write(bytes("last words")).then(() => conn.closeWrite(true));
    return response;
  });
  const raw = new Raw(`ws://127.0.0.1:${http.addr.port}/`);
  const into = new Uint8Array(100);
  assertEquals(await soon(raw.conn.read(into), "the words"), 10);
  assertEquals(await soon(raw.closed, "the end"), 1002);
  await assertRejects(() => raw.conn.read(into), Error, "status 1002");
  await assertRejects(() => raw.conn.write(into), Error, "status 1002");
});

Deno.test("websocket: a client receives the reason of a refused option", async () => {
  await using at = await open({ authenticate: (token) => token === "right" });
  const error = await assertRejects(() => connect(at.address, { token: "wrong secret" }), RpcError);
  assertEquals([error.code, error.remote], ["unauthenticated", true]);
  assert(!at.log.join().includes("secret"));
  await using client = await connect(at.address, { token: "right" });
  assertEquals(await client.call("Echo.echo", 1), 1);
});

Deno.test("websocket: silence is refused in time", async () => {
  await using at = await open({ handshakeTimeout: 100 });
  const raw = new Raw(at.url);
  assertEquals(JSON.parse((await raw.peer.line())!).error.code, "deadline_exceeded");
  await soon(raw.closed, "the end");
  await until(() => at.server.stats().refused === 1, "it to be counted");
});

Deno.test("websocket: a connection above the limit receives the reason", async () => {
  await using at = await open({ maxConnections: 1 });
  await using _client = await connect(at.address);
  const error = await assertRejects(() => connect(at.address), RpcError, "503 Service Unavailable");
  assertEquals(error.code, "unavailable");
  assertEquals(at.server.stats().refusals.maxConnections, 1);
});

Deno.test("websocket: a refused socket of Deno.serve has its place until its client closes it", async () => {
  await using at = await open({ maxConnections: 1, authenticate: () => false });
  using peer = await RawPeer.dial(at.port);
  await upgradeByHand(peer, at.port);
  await peer.send(message(bytes(OPTION)));
  await until(() => at.server.stats().refused === 1, "the refusal");
  assertEquals(await statusOf(at.port, {}), 503);
  await peer.send(message(bytes(0x03, 0xe8), 8));
  // Asking does not take the place.
  await until(() => at.server.stats().connections === 0, "no session");
  let status = 503;
  while (status === 503) status = await statusOf(at.port, {});
  assertEquals(status, 101);
});

Deno.test("websocket: both sides call, and stream, over one connection", async () => {
  const accepted = Promise.withResolvers<PlatformWebSocketConn>();
  await using http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    accepted.resolve(new PlatformWebSocketConn(socket, "client", MOST_HELD));
    return response;
  });
  const dialled = new PlatformWebSocketConn(
    new WebSocket(`ws://127.0.0.1:${http.addr.port}/`),
    "server",
    MOST_HELD,
  );
  await dialled.opened();
  await using pair = new Pair([dialled, await accepted.promise], BOTH_WAYS);
  await assertBothWays(pair);
});

Deno.test("websocket: shutdown lets what was accepted finish, close() does not wait", async () => {
  for (const end of ["shutdown", "close"] as const) {
    const started = Promise.withResolvers<void>();
    const go = Promise.withResolvers<number>();
    await using at = await open();
    at.server.register("Slow", {
      work: async () => {
        started.resolve();
        return new Uint8Array(await go.promise);
      },
    });
    await using client = await connect(at.address);
    const working = client.call<Uint8Array>("Slow.work").then(({ length }) => length, (error) => error.code);
    await started.promise;
    const ending = at.server[end]();
    // Several times what a socket's buffers hold: the close must not overtake it.
    if (end === "shutdown") go.resolve(4_000_000);
    assertEquals(await working, end === "shutdown" ? 4_000_000 : "unavailable");
    go.resolve(0);
    await ending;
    assertEquals(at.server.stats().connections, 0);
    await assertRejects(() => connect(at.address), RpcError);
  }
});

Deno.test("websocket: a call cut at the end of the grace fails with the reason that the server shut down", async () => {
  await using at = await open();
  at.server.register("Slow", { work: () => new Promise(() => {}) });
  await using client = await connect(at.address);
  const working = client.call("Slow.work");
  await until(() => at.server.stats().inFlight === 1, "it runs");
  const cut = assertRejects(() => working, RpcError, "The other side shut down before it answered");
  await at.server.shutdown({ grace: 50 });
  await cut;
});

Deno.test("websocket: a client that goes away aborts its calls", async () => {
  const aborted = Promise.withResolvers<unknown>();
  await using at = await open();
  at.server.register("Slow", {
    work: (_: unknown, { signal }: CallContext) => {
      signal.addEventListener("abort", () => aborted.resolve(signal.reason));
      return aborted.promise;
    },
  });
  const raw = await Raw.open(at.url);
  await raw.peer.send(call(1, "Slow.work"));
  await until(() => at.server.stats().inFlight === 1, "the call to be started");
  raw.conn.close();
  await soon(aborted.promise, "the signal");
  await raw.closed;
});

Deno.test("websocket: a peer that does not read is not written to without end, and is disconnected", async () => {
  await using at = await open({ writeTimeout: 1_000, maxUnsentBytes: 1_048_576 });
  using peer = await RawPeer.dial(at.port);
  await upgradeByHand(peer, at.port);
  await peer.send(message(bytes(OPTION)));
  for (let seq = 1; seq < 100; seq += 2) await peer.send(message(call(seq, "Echo.large", 1_000_000)));
  await until(() => at.server.stats().connections === 1, "the handshake");
  await until(() => at.server.stats().connections === 0, "the end of the connection");
});

Deno.test("websocket: messages in fragments, and pings between them, are one stream", async () => {
  await using at = await open();
  using peer = await RawPeer.dial(at.port);
  await upgradeByHand(peer, at.port);
  const whole = bytes(OPTION, call(1, "Echo.echo", "hello"));
  for (let i = 0; i < whole.length; i++) {
    await peer.send(message(whole.subarray(i, i + 1), i === 0 ? 2 : 0, i === whole.length - 1));
    if (i % 10 === 0) await peer.send(message(bytes("ping"), 9));
  }
  await until(() => at.server.stats().methods[0]!.calls === 1, "the call");
});

Deno.test("websocket: more than may wait to be read closes with 1008, many small messages too", async () => {
  const accepted: PlatformWebSocketConn[] = [];
  await using http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    accepted.push(new PlatformWebSocketConn(socket, "client", 100_000));
    return response;
  });
  for (const [size, count] of [[100_000, 1], [1, 1_000]] as const) {
    const raw = new Raw(`ws://127.0.0.1:${http.addr.port}/`);
    await raw.conn.opened();
    for (let i = 0; i < count; i++) raw.socket.send(new Uint8Array(size));
    const status = await soon(raw.closed, "the end");
    // 0: it was still sending, and saw a reset.
    assert(status === 1008 || count > 1 && status === 0);
    const conn = accepted.pop()!;
    await assertRejects(() => conn.read(new Uint8Array(10)), Error, "too many bytes wait to be read");
    await assertRejects(() => conn.write(new Uint8Array(10)), Error, "too many bytes wait to be read");
  }
});

Deno.test("websocket: a client that sends too far ahead is logged and counted", async () => {
  await using at = await open({ maxFrameBytes: 65_536, maxUnsentBytes: 65_536, maxWindowBytes: 1 });
  const raw = await Raw.open(at.url);
  await using _ = raw;
  await until(() => at.server.stats().connections === 1, "the handshake");
  raw.socket.send(new Uint8Array(200_000));
  await until(() => at.server.stats().connections === 0, "the end");
  assertEquals(at.server.stats().limits.invalidFrames, 1);
  assertEquals(at.log.filter((line) => line.includes("too many bytes wait to be read")).length, 1);
});

/** A WebSocket of a runtime that has taken it from its owner. */
class Dead extends EventTarget {
  binaryType = "";
  bufferedAmount = 0;
  readyState: number = WebSocket.OPEN;
  readonly error = new Error("Cannot perform I/O on behalf of a different request");
  send(): void {
    throw this.error;
  }
  close(): void {
    throw this.error;
  }
}

Deno.test("websocket: one that its runtime has taken away is lost, says so, and can be closed", async () => {
  const conn = new PlatformWebSocketConn(new Dead() as unknown as WebSocket, "dead", MOST_HELD);
  await assertRejects(() => conn.write(bytes("x")), Error, "a Worker needs a client for each request");
  await assertRejects(() => conn.read(new Uint8Array(1)), Error, "different request");
  await conn.closeWrite(true);
  conn.close();
});

Deno.test("websocket: one that was closed without an event is lost when it is written to", async () => {
  const socket = new Dead();
  const conn = new PlatformWebSocketConn(socket as unknown as WebSocket, "dead", MOST_HELD);
  socket.readyState = WebSocket.CLOSED;
  const reading = assertRejects(() => conn.read(new Uint8Array(1)), Error, "closed with status 1006");
  await conn.write(bytes("x"));
  await reading;
  conn.close();
});

Deno.test("websocket: what is written may be overwritten at once", async () => {
  await using http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => socket.send(data);
    return response;
  });
  const raw = new Raw(`ws://127.0.0.1:${http.addr.port}/`);
  await using _ = raw;
  await raw.conn.opened();
  const buffer = new Uint8Array(3_000_000);
  for (let i = 0; i < buffer.length;) {
    const part = buffer.subarray(i, i + 100_000).fill(1);
    i += await raw.conn.write(part);
    part.fill(9);
  }
  const into = new Uint8Array(65_536);
  for (let got = 0; got < buffer.length;) {
    const count = await soon(raw.conn.read(into), "the echo");
    assert(count !== null && into.subarray(0, count).every((byte) => byte === 1));
    got += count;
  }
});

Deno.test("websocket: the error says that the URL has no WebSocket endpoint", async () => {
  await using at = await open();
  for (const address of [`${at.address}/other`, "ws@127.0.0.1:1"]) {
    const error = await assertRejects(() => connect(address), RpcError);
    assertEquals([error.code, error.notStarted], ["unavailable", true]);
    assertStringIncludes(error.message, `Cannot connect to ${address}: `);
  }
});

Deno.test("websocket: a client gives up on a server that does not answer", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepted = listener.accept();
  const address = `ws@127.0.0.1:${listener.addr.port}`;
  const error = await assertRejects(() => connect(address, { connectTimeout: 100 }), RpcError);
  assertEquals(error.code, "unavailable");
  (await accepted).close();
});

Deno.test("websocket: a lost one fails its calls, and is dialled again", async () => {
  const sockets: WebSocket[] = [];
  await using at = await open({}, (server) => async (request, info) => {
    const { upgradeWebSocket } = Deno;
    Deno.upgradeWebSocket = (...all) => {
      const upgraded = upgradeWebSocket(...all);
      sockets.push(upgraded.socket);
      return upgraded;
    };
    try {
      return await server.fetch(request, info);
    } finally {
      Deno.upgradeWebSocket = upgradeWebSocket;
    }
  });
  at.server.register("Never", { ends: () => new Promise(() => {}) });
  await using client = await connect(at.address);
  const lost = client.call("Never.ends").catch((error: RpcError) => error);
  await until(() => at.server.stats().inFlight === 1, "the call to be started");
  sockets[0]!.close(3_333);
  const error = await lost as RpcError;
  assertEquals([error.code, error.notStarted], ["unavailable", false]);
  assertStringIncludes(error.message, "status 3333");
  assertEquals(await client.call("Echo.echo", 2), 2);
  assertEquals(sockets.length, 2);
});

Deno.test("websocket: wss@ trusts the configured authorities only", async () => {
  const pem = (name: string) => Deno.readTextFileSync(new URL(`../certs/${name}`, import.meta.url));
  await using server = new Server().register("Echo", {
    peer: (_: unknown, { peer }: CallContext) => peer.address,
  });
  const tls = { cert: pem("server.pem"), key: pem("server.key") };
  await using http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {}, ...tls }, server.fetch);
  const address = `wss@127.0.0.1:${http.addr.port}`;
  const options: ConnectOptions = { tls: { caCerts: [pem("ca.pem")] } };
  {
    await using client = await connect(address, options);
    assertMatch(await client.call<string>("Echo.peer"), /^wss@127\.0\.0\.1:\d+$/);
  }
  for (const tls of [undefined, { caCerts: [pem("other_ca.pem")] }]) {
    const error = await assertRejects(() => connect(address, { tls }), RpcError, "UnknownIssuer");
    assertEquals(error.code, "unavailable");
  }
  await server.close();
});

/** Asks for a WebSocket over a plain socket. */
async function upgradeByHand(peer: RawPeer, port: number): Promise<void> {
  await peer.send(
    `GET /_rpc_ HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
  );
  assertMatch((await peer.line())!, /^HTTP\/1\.1 101 /);
}

/** A client's WebSocket frame, with a mask of zeros. */
function message(data: Uint8Array, opcode = 2, last = true): Uint8Array {
  const { length } = data;
  const size = length < 126 ? [length | 0x80] : [126 | 0x80, length >> 8, length & 255];
  return bytes((last ? 0x80 : 0) | opcode, ...size, 0, 0, 0, 0, data);
}

/** Asks for a WebSocket by hand. Returns the status. */
async function statusOf(port: number, headers: Record<string, string>, path = "/_rpc_"): Promise<number> {
  using peer = await RawPeer.dial(port);
  const all = {
    Host: `127.0.0.1:${port}`,
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version": "13",
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  await peer.send(`GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`);
  const status = Number((await peer.line())!.split(" ", 2)[1]);
  return status;
}

Deno.test("websocket: pages of other origins are refused and logged; clients that are not pages are accepted", async () => {
  await using at = await open();
  const own = `127.0.0.1:${at.port}`;
  assertEquals(await statusOf(at.port, {}), 101);
  for (const origin of [`http://${own}`, `https://${own}`]) {
    assertEquals(await statusOf(at.port, { Origin: origin }), 101, origin);
  }
  const foreign = [
    "https://evil.example",
    `http://localhost:${at.port}`,
    "null",
    "http://127.0.0.1",
    `x://${own}.evil`,
    "%",
  ];
  for (const origin of foreign) assertEquals(await statusOf(at.port, { Origin: origin }), 403, origin);
  assertEquals(at.server.stats().refusals.http, foreign.length);
  assertEquals(at.log.filter((line) => line.includes("is not in the option origins")).length, foreign.length);
});

Deno.test("websocket: the option origins names whose pages may come", async () => {
  const some = ["https://app.example", "http://localhost:8000"];
  await using at = await open({ origins: some });
  for (const origin of some) assertEquals(await statusOf(at.port, { Origin: origin }), 101, origin);
  for (const origin of [`http://127.0.0.1:${at.port}`, "http://app.example", "https://app.example.evil"]) {
    assertEquals(await statusOf(at.port, { Origin: origin }), 403, origin);
  }
  await using all = await open({ origins: "*" });
  assertEquals(await statusOf(all.port, { Origin: "null" }), 101);
  for (const origins of ["https://a.example", ["a.example"], ["https://a.example/"], [1], 5]) {
    assertThrows(() => new Server({ origins: origins as string[] }), TypeError, "Cannot use origins");
  }
});

Deno.test("websocket: what Host says decides neither about the path nor about the page", async () => {
  await using at = await open();
  assertEquals(await statusOf(at.port, { Host: "x/_rpc_?" }, "/nothing"), 400);
  assertEquals(await statusOf(at.port, {}, "/a/../_rpc_"), 400);
  assertEquals(await statusOf(at.port, { Host: "evil.example" }), 101);
});

Deno.test("fetch: it never rejects, for any request", async () => {
  const log: string[] = [];
  await using server = new Server({ log: (line) => void log.push(line) });
  const broken = {
    method: "GET",
    url: "http://x/metrics",
    get headers(): Headers {
      throw new Error("no headers");
    },
  } as Request;
  const answers = [
    await server.fetch(broken),
    await server.fetch(new Request("http://x/metrics"), { remoteAddr: null as unknown as Deno.Addr }),
  ];
  assertEquals(answers.map(({ status }) => status), [500, 500]);
  assertEquals(log, ["A request could not be answered", "A request could not be answered"]);
});
