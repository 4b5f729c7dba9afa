// WebSockets on http@ listeners, spoken by this library on both sides and by hand: what is answered, what is refused, and
// what is left afterwards.

import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { type CallContext, RpcError, Server, type ServerOptions } from "../../server/mod.ts";
import { connect } from "../../client/mod.ts";
import type { Conn } from "../../transport/conn.ts";
import { dialTcp, listenTcp } from "../../transport/tcp.ts";
import { WebSocketConn } from "../../transport/websocket_conn.ts";
import { WebSocketFault } from "../../transport/websocket_frames.ts";
import { assertBothWays, BOTH_WAYS } from "../support/both_ways.ts";
import { call } from "../support/frames.ts";
import { seeded } from "../support/random.ts";
import { bytes, dialAndReset, OPTION, RawPeer } from "../support/raw_peer.ts";
import { Pair } from "../support/session_pair.ts";
import { soon, until } from "../support/waiting.ts";
import { portOf } from "../support/wire_harness.ts";

const MAX_MESSAGE = 16_777_216;

/** A server on an HTTP port. */
async function open(options: ServerOptions = {}, path = "") {
  const log: string[] = [];
  const server = new Server({ log: (...all) => log.push(Deno.inspect(all)), ...options });
  server.register("Echo", {
    echo: (value: unknown) => value,
    large: (size: number) => new Uint8Array(size).fill(7),
    peer: (_: unknown, { peer }: CallContext) => peer.address,
    never: (_: unknown, { signal }: CallContext) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
  });
  const { address } = await server.listen(`http@127.0.0.1:0${path}`);
  return {
    server,
    log,
    port: portOf(address),
    address: address.replace("http@", "ws@"),
    [Symbol.asyncDispose]: () => server.close(),
  };
}

/** The head of a request for a WebSocket. */
function request(changes: Record<string, string> = {}, path = "/_rpc_"): string {
  const headers = {
    Host: "x",
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
    ...changes,
  };
  const lines = Object.entries(headers).filter(([, value]) => value !== "");
  return `GET ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
}

/** A client's frame, with a mask of zeros. */
function message(data: Uint8Array | string, first = 0x82): Uint8Array {
  const { length } = bytes(data);
  return bytes(
    first,
    ...length < 126 ? [128 | length] : [254, length >> 8, length & 255],
    0,
    0,
    0,
    0,
    data,
  );
}

/** A WebSocket by hand, over a plain socket. */
class Hand implements Disposable {
  readonly peer: RawPeer;

  private constructor(peer: RawPeer) {
    this.peer = peer;
  }

  static async open(port: number): Promise<Hand> {
    const peer = await RawPeer.dial(port);
    await peer.send(request());
    for (let line = ""; line !== "\r";) line = (await peer.line())!;
    return new Hand(peer);
  }

  /** The next bytes; fewer at the end. */
  async take(count: number): Promise<Uint8Array> {
    let taken = this.peer.take(Math.min(count, this.peer.held));
    while (taken.length < count) {
      const into = new Uint8Array(count - taken.length);
      const got = await soon(this.peer.conn.read(into), "bytes");
      if (got === null) break;
      taken = bytes(taken, into.subarray(0, got));
    }
    return taken;
  }

  /** The next frame, which is short; undefined at the end. */
  async frame(): Promise<{ first: number; payload: Uint8Array } | undefined> {
    const [first, short] = await this.take(2);
    if (first === undefined) return undefined;
    const length = short === 126 ? (await this.take(2)).reduce((sum, byte) => sum * 256 + byte, 0) : short!;
    return { first, payload: await this.take(length) };
  }

  /** The status of the Close frame that comes. */
  async status(): Promise<number | undefined> {
    for (let frame; (frame = await this.frame()) !== undefined;) {
      if (frame.first === 0x88) return frame.payload[0]! << 8 | frame.payload[1]!;
    }
    return undefined;
  }

  send(...parts: Uint8Array[]): Promise<void> {
    return this.peer.send(...parts);
  }

  [Symbol.dispose](): void {
    this.peer.close();
  }
}

/** Both ends of a WebSocket over TCP. */
async function connPair(maxMessageBytes = MAX_MESSAGE): Promise<[WebSocketConn, WebSocketConn, Conn]> {
  const listener = listenTcp({ hostname: "127.0.0.1", port: 0 });
  const [accepted, dialled] = await Promise.all([
    listener.accept(),
    dialTcp({ hostname: "127.0.0.1", port: listener.port }),
  ]);
  listener.close();
  const prefix = new Uint8Array(0);
  return [
    new WebSocketConn(dialled, { peer: "server", dialled: true, maxMessageBytes, prefix }),
    new WebSocketConn(accepted!, { peer: "client", dialled: false, maxMessageBytes, prefix }),
    dialled,
  ];
}

Deno.test("websocket listener: calls go through, also large ones and many, at another path too", async () => {
  for (const path of ["", "/deep"]) {
    await using at = await open({ maxFrameBytes: 8_388_608 }, path);
    await using client = await connect(at.address, { maxFrameBytes: 8_388_608 });
    assertMatch(await client.call<string>("Echo.peer"), /^ws@127\.0\.0\.1:\d+$/);
    const sent = new Uint8Array(5_242_880).map((_, i) => i);
    const calls = Array.from({ length: 1_000 }, (_, i) => client.call<number>("Echo.echo", i));
    assertEquals(await client.call("Echo.echo", sent), sent);
    assertEquals(await Promise.all(calls), calls.map((_, i) => i));
    assertEquals(at.server.stats().connections, 1);
  }
});

Deno.test("websocket listener: the platform's WebSocket is answered too", async () => {
  await using at = await open();
  const socket = new WebSocket(`ws://127.0.0.1:${at.port}/_rpc_`);
  const closed = new Promise<CloseEvent>((resolve) => socket.addEventListener("close", resolve));
  socket.binaryType = "arraybuffer";
  await new Promise((resolve) => socket.addEventListener("open", resolve));
  socket.send(OPTION.slice(0, 0));
  assertEquals((await soon(closed, "the end")).code, 1003);
});

Deno.test("websocket listener: a malformed request for a WebSocket is answered with the reason", async () => {
  await using at = await open({ origins: ["https://app.example"] });
  for (
    const [head, status] of [
      [request({ "Sec-WebSocket-Version": "8" }), "426 Upgrade Required"],
      [request({ "Sec-WebSocket-Key": "" }), "400 Bad Request"],
      [request({ Connection: "close" }), "400 Bad Request"],
      [request({ Origin: "https://evil.example" }), "403 Forbidden"],
      [request({}, "/elsewhere"), "404 Not Found"],
      [request({ Origin: "https://app.example" }), "101 Switching Protocols"],
    ]
  ) {
    using peer = await RawPeer.dial(at.port);
    await peer.send(head!);
    assertEquals(await peer.line(), `HTTP/1.1 ${status}\r`);
  }
  assertEquals(at.server.stats().refusals.http, 5);
  assertEquals(at.log.filter((line) => line.includes("is not in the option origins")).length, 1);
});

Deno.test("websocket listener: pages of the server's own origin may come, others not, by default", async () => {
  await using at = await open();
  for (const [origin, status] of [["http://x", 101], ["http://y", 403], ["null", 403]] as const) {
    using peer = await RawPeer.dial(at.port);
    await peer.send(request({ Origin: origin }));
    assertStringIncludes((await peer.line())!, ` ${status} `);
  }
});

Deno.test("websocket listener: head, option and calls in one write, or a byte at a time", async () => {
  const whole = bytes(request(), message(OPTION), message(call(1, "Echo.echo", "early")), message("", 0x89));
  for (const cuts of [[], whole.keys()]) {
    await using at = await open();
    using peer = await RawPeer.dial(at.port);
    await peer.sendCut(whole, cuts);
    await until(() => at.server.stats().methods[0]!.calls === 1, "the call");
  }
});

const WRONG: [string, Uint8Array, number][] = [
  ["text", message("x", 0x81), 1003],
  ["a frame without a mask", bytes(0x82, 1, "x"), 1002],
  ["a reserved bit", message("x", 0xc2), 1002],
  ["an unknown opcode", message("x", 0x83), 1002],
  ["a continuation of nothing", message("x", 0x80), 1002],
  ["a message that is too long", bytes(0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0), 1009],
];

for (const [what, wire, status] of WRONG) {
  Deno.test(`websocket listener: ${what} closes with ${status}, is logged and counted`, async () => {
    await using at = await open();
    using peer = await Hand.open(at.port);
    await peer.send(message(OPTION));
    await until(() => at.server.stats().connections === 1, "the handshake");
    await peer.send(wire);
    assertEquals(await peer.status(), status);
    peer.peer.close();
    await until(() => at.server.stats().connections === 0, "no connection to be left");
    assertEquals(at.server.stats().limits.invalidFrames, 1);
    assertEquals(at.log.filter((line) => line.includes("was closed")).length, 1);
  });
}

Deno.test("websocket conn: a side that the other one closes for a fault logs it", async () => {
  const log: string[] = [];
  const [dialled, accepted] = await connPair();
  const pair = new Pair([dialled, accepted], { ...BOTH_WAYS, log: (line) => void log.push(line) });
  await using _ = pair;
  await pair.call("echo", 1);
  await pair.dialledConn.closeWrite(true);
  await soon(pair.accepted.closed, "the end");
  assertEquals(log, ["The connection of client was closed"]);
});

Deno.test("websocket listener: a Close frame is answered, and calls under way are aborted", async () => {
  await using at = await open();
  using peer = await Hand.open(at.port);
  await peer.send(message(OPTION));
  await peer.send(message(call(1, "Echo.never")));
  await until(() => at.server.stats().inFlight === 1, "the call");
  await peer.send(message(bytes(0x0f, 0xa1), 0x88));
  assertEquals(await peer.status(), 4001);
  await until(() => at.server.stats().connections === 0, "the end of the connection");
  assertEquals(at.server.stats().limits.invalidFrames, 0);
});

Deno.test("websocket listener: a Ping is answered with its payload, before and after the handshake", async () => {
  await using at = await open();
  using peer = await Hand.open(at.port);
  await peer.send(message("early", 0x89));
  assertEquals(await peer.frame(), { first: 0x8a, payload: bytes("early") });
  await peer.send(message(OPTION));
  assertEquals((await peer.frame())?.first, 0x82);
  await peer.send(message("late", 0x89));
  assertEquals(await peer.frame(), { first: 0x8a, payload: bytes("late") });
});

Deno.test("websocket listener: a refused client that does not answer is cut off, and has no place meanwhile", async () => {
  await using at = await open({ maxConnections: 2, authenticate: (token) => token === "right" });
  const silent: Hand[] = [];
  for (let i = 0; i < 10; i++) {
    const peer = await Hand.open(at.port);
    silent.push(peer);
    await peer.send(message(OPTION));
    await until(() => at.server.stats().refused === i + 1, "the refusal");
  }
  await using client = await connect(at.address, { token: "right" });
  assertEquals(await client.call("Echo.echo", 1), 1);
  for (const peer of silent) {
    assertEquals(await peer.status(), 1000);
    assertEquals(await peer.frame(), undefined);
    peer.peer.close();
  }
});

Deno.test("websocket listener: invalid frames in the place of an option are a refusal, not a lost connection", async () => {
  await using at = await open();
  // Text, not masked, and reserved bits.
  const faults = [message("{}", 0x81), bytes(0x82, 2, 0x7b, 0x7d), message("{}", 0xf2)];
  for (const fault of faults) {
    using peer = await Hand.open(at.port);
    await peer.send(fault);
    assert(await peer.status() !== 1000);
  }
  await until(() => at.server.stats().refused === faults.length, "the refusals");
  const { option, lost } = at.server.stats().refusals;
  assertEquals({ option, lost }, { option: faults.length, lost: 0 });
  assertEquals(at.log.length, faults.length);
  for (const line of at.log) assertStringIncludes(line, "Refused ws@127.0.0.1:");
});

Deno.test("websocket listener: silence is refused in time, before and after the head", async () => {
  await using at = await open({ handshakeTimeout: 100 });
  using early = await RawPeer.dial(at.port);
  assertEquals(await early.line(), "HTTP/1.1 503 Service Unavailable\r");
  using late = await Hand.open(at.port);
  assertEquals(await late.status(), 1000);
  assertEquals(at.server.stats().refusals.handshakeTimeout, 2);
});

Deno.test("websocket listener: with no place left, a WebSocket is answered 503", async () => {
  await using at = await open({ maxConnectionsPerPeer: 1 });
  await using _client = await connect(at.address);
  for (const address of [at.address, at.address.replace("ws@", "http@")]) {
    const error = await assertRejects(() => connect(address), RpcError);
    assertEquals(error.code, "unavailable");
    assertMatch(
      error.message,
      /got "HTTP\/1.1 503 Service Unavailable"; the server is full or shutting down/,
    );
  }
  assertEquals(at.server.stats().refusals.maxConnectionsPerPeer, 2);
});

Deno.test("websocket listener: upgrades that are reset at once leave no place and no socket", async () => {
  await using at = await open();
  for (let i = 0; i < 100; i++) {
    await dialAndReset(at.port, bytes(request()));
  }
  await until(() => at.server.stats().handshakes === 0, "no handshake to be left");
  assertEquals(at.server.stats().connections, 0);
});

Deno.test("websocket conn: both sides call, and stream, over one connection", async () => {
  const [dialled, accepted] = await connPair();
  await using pair = new Pair([dialled, accepted], BOTH_WAYS);
  await assertBothWays(pair);
});

Deno.test("websocket conn: it reads below only when it is read, so that TCP makes the sender wait", async () => {
  const frame = message(new Uint8Array(100));
  let reads = 0;
  const below: Conn = {
    peer: "below",
    read: (into) => {
      into.set(frame);
      return Promise.resolve(++reads && frame.length);
    },
    write: () => new Promise(() => {}),
    closeWrite: () => Promise.resolve(),
    close: () => {},
  };
  const conn = new WebSocketConn(below, {
    peer: "client",
    dialled: false,
    maxMessageBytes: MAX_MESSAGE,
    prefix: new Uint8Array(0),
  });
  const into = new Uint8Array(1_000);
  for (let i = 0; i < 3; i++) {
    assertEquals(reads, i);
    assertEquals(await conn.read(into), 100);
  }
  const written = conn.write(into).then(() => "written");
  assertEquals(await Promise.race([written, conn.read(into)]), 100);
});

Deno.test("websocket conn: every byte arrives, however it is written and read", async () => {
  const [dialled, accepted] = await connPair();
  const random = seeded(4);
  const total = 20_000_000;
  const writing = (async () => {
    const buffer = new Uint8Array(300_000);
    for (let sent = 0; sent < total;) {
      const part = buffer.subarray(0, Math.min(1 + Math.floor(random() * buffer.length), total - sent));
      for (let i = 0; i < part.length; i++) part[i] = (sent + i) % 251;
      for (let at = 0; at < part.length;) at += await dialled.write(part.subarray(at));
      sent += part.length;
    }
    await dialled.closeWrite();
  })();
  const into = new Uint8Array(100_000);
  for (let got = 0; got < total;) {
    const count = await soon(accepted.read(into.subarray(0, 1 + Math.floor(random() * into.length))), "data");
    assert(count !== null && into.subarray(0, count).every((byte, i) => byte === (got + i) % 251), `${got}`);
    got += count;
  }
  await assertRejects(() => accepted.read(into), Error, "closed with status 1000");
  assertEquals(await soon(dialled.read(into), "the answer"), null);
  await writing;
  dialled.close();
  accepted.close();
});

Deno.test("websocket conn: an end without a Close frame is an error", async () => {
  const [dialled, accepted, below] = await connPair();
  below.close();
  await assertRejects(() => accepted.read(new Uint8Array(10)), Error, "status 1006");
  dialled.close();
  accepted.close();
});

Deno.test("websocket conn: the peer that broke a rule learns which", async () => {
  const [dialled, accepted, below] = await connPair(1_000);
  const reading = assertRejects(() => accepted.read(new Uint8Array(10)), WebSocketFault, "over 1000 bytes");
  await below.write(bytes(0x82, 0xfe, 0x03, 0xe9, 0, 0, 0, 0));
  await assertRejects(
    () => dialled.read(new Uint8Array(10)),
    WebSocketFault,
    "status 1009: a message is over",
  );
  dialled.close();
  await reading;
  accepted.close();
});
