// Who comes in and who does not: caps, what a flood of strangers can do, and that everyone gets one answer.

import { assert, assertEquals, assertThrows } from "@std/assert";
import net from "node:net";
import { CodecTable } from "../../codec/table.ts";
import { connect } from "../../client/mod.ts";
import { Acceptor, type AcceptorOptions } from "../../server/acceptor.ts";
import { type Refusals, Server, type ServerOptions } from "../../server/mod.ts";
import { networkOf } from "../../transport/connection_counts.ts";
import type { Conn } from "../../transport/conn.ts";
import { calleeWith } from "../../session/callee.ts";
import { sessionLimits } from "../../session/limits.ts";
import { LimitCounters } from "../../session/limit_counters.ts";
import { pem } from "../support/certs.ts";
import { enter, open, refused } from "../support/handshake_live.ts";
import { call, Kind } from "../support/frames.ts";
import { bytes, dialAndReset, OPTION, RawPeer } from "../support/raw_peer.ts";
import { soon, until } from "../support/waiting.ts";
import { assertLives, portOf } from "../support/wire_harness.ts";
import { testOnLinux } from "../support/platform.ts";
import { windowBudget } from "../../session/window_budget.ts";

/** Dials from one of this machine's own addresses; resolves with what ends it. */
async function dialFrom(localAddress: string, port: number): Promise<net.Socket> {
  const socket = net.connect({ host: "127.0.0.1", port, localAddress });
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("connect", resolve));
  return socket;
}

Deno.test("acceptor: silent connections, however many, do not keep out clients that speak", async () => {
  await using at = await open({ maxConnections: 3 });
  const flood: RawPeer[] = [];
  let flooding = true;
  const dialling = (async () => {
    while (flooding) {
      flood.push(await at.dial());
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  await until(() => at.server.stats().refusals.maxConnections >= 10, "the flood to be felt");
  for (let i = 0; i < 30; i++) {
    await using client = await connect(`tcp@127.0.0.1:${at.port}`);
    assertEquals(await client.call("Echo.echo", i), i);
  }
  flooding = false;
  await dialling;
  for (const peer of flood) peer.close();
});

Deno.test("acceptor: a refused connection does not count against maxConnections", async () => {
  await using at = await open({ maxConnections: 2 });
  const lingering: RawPeer[] = [];
  for (let i = 0; i < 20; i++) {
    const peer = await at.dial();
    lingering.push(peer);
    await peer.send("nonsense\n");
    // It receives the refusal, and does not end its own side.
    assertEquals((await refused(peer)).code, "invalid_argument");
  }
  using first = await enter(at.port);
  using second = await enter(at.port);
  await assertLives(first, 1);
  await assertLives(second, 1);
  for (const peer of lingering) peer.close();
});

testOnLinux(
  "acceptor: with maxConnectionsPerPeer one address cannot use up the connections of others",
  async () => {
    await using at = await open({ maxConnections: 8, maxConnectionsPerPeer: 2 });
    using first = await enter(at.port);
    {
      using second = await enter(at.port);
      using third = await at.dial();
      const { code, message } = await refused(third);
      assertEquals({ code, message }, {
        code: "resource_exhausted",
        message: "More than 2 connections from one address",
      });
      await assertLives(first, 1);
      await assertLives(second, 1);
    }
    const others = await Promise.all([1, 2].map(() => dialFrom("127.0.0.2", at.port)));
    const answers = Promise.all(
      others.map((socket) => new Promise((resolve) => socket.once("data", resolve))),
    );
    for (const socket of others) socket.write(OPTION);
    for (const answer of await answers) assertEquals(JSON.parse(`${answer}`).version, 1);
    for (const socket of others) socket.destroy();
    // There is room again where one has gone, also where it was refused or never said a word.
    for (let i = 0; i < 5; i++) {
      await until(() => at.server.stats().connections === 1, "the others to be gone");
      using peer = await at.dial();
      await peer.send(i % 2 === 0 ? "nonsense\n" : OPTION);
      const answer = JSON.parse((await peer.line())!);
      assertEquals(i % 2 === 0 ? answer.error.code : answer.version, i % 2 === 0 ? "invalid_argument" : 1);
    }
    assertEquals(at.server.stats().refusals.maxConnectionsPerPeer, 1);
  },
);

Deno.test("acceptor: how addresses are grouped into peers", () => {
  const origins: [string, string | undefined][] = [
    ["tcp@10.0.0.7:50312", "10.0.0.7"],
    ["tls@10.0.0.7:1", "10.0.0.7"],
    ["ws@10.0.0.7:1", "10.0.0.7"],
    ["tcp@[::ffff:10.0.0.7]:1", "10.0.0.7"],
    ["tcp@[::ffff:a00:7]:1", "10.0.0.7"],
    ["tcp@[::1]:1", "0:0:0:0::/64"],
    ["tcp@[2001:db8:1:2:3:4:5:6]:1", "2001:db8:1:2::/64"],
    ["tcp@[2001:DB8:1:2::9]:1", "2001:db8:1:2::/64"],
    ["tcp@[2001:db8::1:0:0:1]:1", "2001:db8:0:0::/64"],
    ["tcp@[fe80::]:1", "fe80:0:0:0::/64"],
    ["unix@/run/app.sock", undefined],
    ["ws@unknown", undefined],
    ["memory", undefined],
  ];
  for (const [peer, origin] of origins) assertEquals(networkOf(peer), origin, peer);
});

/** What provokes each reason once. */
const PROVOKED: Record<keyof Refusals, (port: number, server: Server) => Promise<void>> = {
  async maxConnections(port) {
    using _one = await enter(port);
    using _two = await enter(port);
    using three = await RawPeer.dial(port);
    await refused(three);
  },
  async maxConnectionsPerPeer(port) {
    using _one = await enter(port);
    using two = await RawPeer.dial(port);
    await refused(two);
  },
  async handshakeTimeout(port) {
    using silent = await RawPeer.dial(port);
    await refused(silent);
  },
  option: (port) => say(port, '{"magicNumber":1}\n'),
  codec: (port) => say(port, '{"magicNumber":3927900,"codecType":"none"}\n'),
  unauthenticated: (port) => say(port, '{"magicNumber":3927900,"token":"wrong"}\n'),
  async closing(port, server) {
    using silent = await RawPeer.dial(port);
    // It has been accepted when one that came later has.
    (await enter(port)).close();
    await server.shutdown();
    await refused(silent);
  },
  http: (port) => say(port, "GET /nothing HTTP/1.0\r\n\r\n"),
  proxyHeader: (port) => say(port, OPTION),
  tls: (port) => say(port, OPTION),
  lost: (port) => dialAndReset(port, bytes('{"magic')),
};

async function say(port: number, text: string): Promise<void> {
  using peer = await RawPeer.dial(port);
  await peer.send(text);
  await peer.gone();
}

const OPTIONS: Partial<Record<keyof Refusals, ServerOptions>> = {
  maxConnections: { maxConnections: 2 },
  maxConnectionsPerPeer: { maxConnectionsPerPeer: 1 },
  handshakeTimeout: { handshakeTimeout: 50 },
  unauthenticated: { authenticate: () => false },
};

for (const [reason, provoke] of Object.entries(PROVOKED)) {
  Deno.test(`acceptor: a refusal is counted once, under its own reason: ${reason}`, async () => {
    const log: string[] = [];
    await using server = new Server({
      ...OPTIONS[reason as keyof Refusals],
      tls: { cert: pem("server.pem"), key: pem("server.key") },
      log: (message) => log.push(message),
    });
    const transport = reason === "http" || reason === "tls" ? reason : "tcp";
    const { address } = await server.listen(`${transport}@127.0.0.1:0`, {
      ...reason === "proxyHeader" && { proxyProtocol: { from: ["127.0.0.1"] } },
    });
    const none = server.stats().refusals;
    await provoke(portOf(address), server);
    await until(() => server.stats().refused > 0, "it to be counted");
    assertEquals(server.stats().refusals, { ...none, [reason]: 1 });
    assertEquals(server.stats().refused, 1);
    const page = await (await server.fetch(new Request("http://x/debug/rpc"))).text();
    assert(page.includes(`${reason} 1`), page);
  });
}

/** A Conn whose writes end when a test lets them. */
class HeldConn implements Conn {
  readonly peer = "tcp@127.0.0.1:1";
  readonly written: string[] = [];
  closed = false;
  /** Lets the next write end. */
  release = Promise.withResolvers<void>();
  readonly #end = Promise.withResolvers<null>();
  #option: Uint8Array;

  constructor(option = "") {
    this.#option = bytes(option);
  }

  async read(into: Uint8Array): Promise<number | null> {
    const option = this.#option;
    if (option.length === 0) return await this.#end.promise;
    this.#option = bytes();
    into.set(option);
    return option.length;
  }

  async write(from: Uint8Array): Promise<number> {
    this.written.push(new TextDecoder("latin1").decode(from));
    await this.release.promise;
    return from.length;
  }

  closeWrite(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {
    this.closed = true;
    this.release.resolve();
    this.#end.resolve(null);
  }
}

/** The acceptor of a server that listens nowhere. */
function openAcceptor(options: Partial<AcceptorOptions> = {}): Acceptor {
  const limits = sessionLimits({});
  return new Acceptor({
    terms: {
      codecs: CodecTable.standard(),
      answer: { ...limits, handleTimeout: 0, heartbeatInterval: 30_000 },
    },
    limits,
    counters: new LimitCounters(),
    createCallee: calleeWith(() => {
      throw new Error("Nothing is served");
    }),
    http: { fetch: () => new Response(), refuseWebSocket: () => undefined },
    maxConnections: 10_000,
    maxConnectionsPerPeer: Infinity,
    handshakeTimeout: 5_000,
    maxInFlightTotal: 32_768,
    windows: windowBudget({}),
    stallTimeout: 10_000,
    ...options,
  });
}

Deno.test("acceptor: at most 256 refused connections are closed gracefully at once", async () => {
  const acceptor = openAcceptor({ maxConnections: 1 });
  const inside = new HeldConn(OPTION);
  inside.release.resolve();
  acceptor.take(inside, undefined);
  await until(() => acceptor.accepted === 1, "the one to be in");
  const outside = Array.from({ length: 300 }, () => new HeldConn());
  for (const conn of outside) acceptor.take(conn, undefined);
  assertEquals(outside.filter(({ closed }) => closed).length, 300 - 256);
  assert(outside.every(({ written }) => written.length === 1 && written[0]!.includes("resource_exhausted")));
  for (const conn of [...outside, inside]) conn.close();
  for (const session of acceptor.sessions) await session.closed;
  await acceptor.close();
  assertEquals(acceptor.refusals.sum, 300);
});

Deno.test("acceptor: when many handshakes fail at once, at most 256 are closed gracefully", async () => {
  const acceptor = openAcceptor({ handshakeTimeout: 10 });
  const silent = Array.from({ length: 300 }, () => new HeldConn());
  for (const conn of silent) acceptor.take(conn, undefined);
  await until(() => acceptor.refusals.sum === 300, "all to be late");
  assertEquals(silent.filter(({ closed }) => closed).length, 300 - 256);
  for (const conn of silent) conn.close();
  await soon(acceptor.close(), "the end");
  assertEquals(acceptor.refusals.byReason().handshakeTimeout, 300);
});

Deno.test("acceptor: a server that closes while an answer is being written writes nothing else", async () => {
  const acceptor = openAcceptor();
  const conn = new HeldConn(OPTION);
  acceptor.take(conn, undefined);
  await until(() => conn.written.length === 1, "the answer");
  const closed = acceptor.close();
  assertEquals(conn.written.length, 1);
  conn.release.resolve();
  await soon(closed, "the end of the handshakes");
  const [session] = acceptor.sessions;
  // It is accepted, and receives GoAway at once.
  await until(() => conn.written.length === 2, "GoAway");
  assertEquals(JSON.parse(conn.written[0]!).version, 1);
  assert(conn.written[1]!.includes("unavailable"));
  conn.close();
  await session!.closed;
  assertEquals(acceptor.refusals.sum, 0);
});

Deno.test("acceptor: an answer is not written after a refusal", async () => {
  for (const end of ["close", "shutdown"] as const) {
    for (let run = 0; run < 20; run++) {
      const welcome = Promise.withResolvers<boolean>();
      const asked = Promise.withResolvers<void>();
      await using at = await open({
        authenticate: () => {
          asked.resolve();
          return welcome.promise;
        },
      });
      using peer = await at.dial();
      await peer.send(OPTION, call(1, "Echo.echo", 1));
      await asked.promise;
      // Both happen in one turn, in either order.
      if (run % 2 === 0) welcome.resolve(true);
      const ended = at.server[end]();
      welcome.resolve(true);
      const line = JSON.parse((await peer.line())!);
      if (line.error !== undefined) assertEquals([line.error.code, await peer.line()], ["unavailable", null]);
      else assertEquals((await peer.rest()).map(({ kind, seq }) => [kind, seq]), [[Kind.goAway, 0]]);
      peer.close();
      await ended;
      assertEquals(at.server.stats().methods[0]!.calls, 0);
    }
  }
});

Deno.test("acceptor: authenticate is not called for a client that was refused for its silence", async () => {
  let asked = 0;
  await using at = await open({
    handshakeTimeout: 50,
    authenticate: () => {
      asked++;
      return true;
    },
  });
  using late = await at.dial();
  assertEquals(JSON.parse((await late.line())!).error.code, "deadline_exceeded");
  await late.send(OPTION, call(1, "Echo.echo", 1));
  await late.gone();
  assertEquals({ asked, refused: at.server.stats().refused }, { asked: 0, refused: 1 });
});

Deno.test("acceptor: maxConnectionsPerPeer is an integer from 1, or Infinity", () => {
  for (const maxConnectionsPerPeer of [0, -1, 1.5, NaN]) {
    assertThrows(() => new Server({ maxConnectionsPerPeer }), RangeError, "maxConnectionsPerPeer");
  }
  const text = "2" as unknown as number;
  assertThrows(() => new Server({ maxConnectionsPerPeer: text }), TypeError, "maxConnectionsPerPeer");
  new Server({ maxConnectionsPerPeer: Infinity });
});

/** A line of what a child process says. */
async function* linesOf(stdout: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let held = "";
  for await (const chunk of stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (held + chunk).split("\n");
    held = lines.pop()!;
    yield* lines;
  }
}

for (const transport of ["tcp", "tls"] as const) {
  testOnLinux(
    `acceptor: a server that runs out of files accepts again when there are some (${transport})`,
    async () => {
      const script = new URL("../support/full_server.ts", import.meta.url).pathname;
      const certs = new URL("../certs", import.meta.url).pathname;
      const limited =
        'ulimit -n 200 && exec deno run --no-check --allow-net=127.0.0.1 --allow-read="$2",/dev/null "$1" "$3"';
      const child = new Deno.Command("sh", {
        args: ["-c", limited, "sh", script, certs, transport],
        stdin: "piped",
        stdout: "piped",
        stderr: "inherit",
      }).spawn();
      const lines = linesOf(child.stdout);
      const next = async () => (await soon(lines.next(), "a line")).value as string;
      const order = child.stdin.getWriter();
      const tell = (line: string) => order.write(new TextEncoder().encode(`${line}\n`));
      try {
        const address = await next();
        const options = transport === "tls" ? { tls: { caCerts: [pem("ca.pem")] } } : {};
        const connecting = () => connect(address, { ...options, connectTimeout: 20_000 });
        await using before = await connecting();
        await tell("fill");
        assertEquals(await next(), "full");
        const waiting = connecting();
        waiting.catch(() => {});
        // Over TLS Deno does not say so.
        if (transport === "tcp") {
          assertEquals(await next(), `log Cannot accept connections on ${address}, retrying`);
        }
        // Who is in is not touched by it.
        assertEquals(await before.call("Echo.echo", 1), 1);
        await tell("free");
        assertEquals(await next(), "free");
        await using after = await waiting;
        assertEquals(await after.call("Echo.echo", 2), 2);
        assert(await after.call<number>("Server.acceptErrors") >= (transport === "tcp" ? 1 : 0));
      } finally {
        child.kill("SIGKILL");
        await child.status;
        await order.close().catch(() => {});
        await lines.return(undefined);
      }
    },
  );
}
