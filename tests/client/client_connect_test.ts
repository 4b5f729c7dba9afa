// connect(): what it waits for, how it fails, and that it leaks nothing when it does.

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  connect,
  type ConnectOptions,
  type Discovery,
  MultiServers,
  Registry,
  RegistryDiscovery,
  RpcError,
  Server,
} from "../../mod.ts";
import { simulate } from "../../testing/mod.ts";
import { dialTcp } from "../../transport/tcp.ts";
import { freePort } from "../support/programs.ts";
import { answerHandshake, RawServer, readToEnd } from "../support/service_link.ts";
import { fails } from "../support/session_pair.ts";
import { soon } from "../support/waiting.ts";

Deno.test("connect: an address without a listener is unavailable, and named", async () => {
  const address = `tcp@127.0.0.1:${freePort()}`;
  const error = await fails(connect(address), "unavailable", `Cannot connect to ${address}`);
  assertEquals({ notStarted: error.notStarted, remote: error.remote }, { notStarted: true, remote: false });
  assert(error.cause instanceof Deno.errors.ConnectionRefused);
});

Deno.test("connect: an invalid address is a TypeError", async () => {
  for (
    const address of [
      "",
      "127.0.0.1:9",
      "tcp@127.0.0.1",
      "tcp@127.0.0.1:0",
      "tcp@127.0.0.1:70000",
      "ftp@a:1",
      "unix@x",
    ]
  ) {
    await assertRejects(() => connect(address), TypeError, "address");
  }
  for (const target of [undefined, null, 5, {}, ["tcp@127.0.0.1:9"], new URL("http://a"), () => {}]) {
    await assertRejects(
      () => connect(target as unknown as string),
      TypeError,
      "Cannot connect: expected an address or a Discovery, such as new MultiServers([address, …]) or new Regis",
    );
  }
});

Deno.test("connect: options out of their range are named", async () => {
  const wrong: [unknown, typeof TypeError | typeof RangeError, string][] = [
    [{ timeout: -1 }, RangeError, "timeout"],
    [{ timeout: NaN }, RangeError, "timeout"],
    [{ connectTimeout: -1 }, RangeError, "connectTimeout"],
    [{ connectTimeout: 0.5 }, RangeError, "connectTimeout"],
    [{ connectTimeout: 2 ** 31 }, RangeError, "connectTimeout"],
    [{ connectTimeout: NaN }, RangeError, "connectTimeout"],
    [{ handleTimeout: -1 }, RangeError, "handleTimeout"],
    [{ maxFrameBytes: 65_535 }, RangeError, "maxFrameBytes"],
    [{ maxFrameBytes: 2 ** 32 }, RangeError, "maxFrameBytes"],
    [{ maxInFlight: 15 }, RangeError, "maxInFlight"],
    [{ heartbeatInterval: -1 }, RangeError, "heartbeatInterval"],
    [{ heartbeatInterval: Infinity }, RangeError, "heartbeatInterval"],
    [{ heartbeatTimeout: 0 }, RangeError, "heartbeatTimeout"],
    [{ writeTimeout: "5" }, TypeError, "writeTimeout"],
    [{ balancer: "fastest" }, TypeError, "balancer"],
    [{ balancer: "constructor" }, TypeError, "balancer"],
    [{ balancer: { pick() {} } }, TypeError, "balancer"],
    [{ token: 5 }, TypeError, "token"],
    [{ log: "console" }, TypeError, "log"],
    [{ codecType: "text/plain" }, TypeError, "codecType"],
  ];
  for (const [options, type, name] of wrong) {
    await assertRejects(() => connect("tcp@127.0.0.1:9", options as ConnectOptions), type, name);
  }
});

Deno.test("connect: the error says that nothing listens on the port, for every transport", async () => {
  for (const transport of ["tcp", "tls", "http", "ws", "wss"]) {
    const address = `${transport}@127.0.0.1:${freePort()}`;
    await fails(connect(address), "unavailable", `Cannot connect to ${address}: `);
  }
});

Deno.test("connect: a peer that speaks another protocol is refused, on both sides", async () => {
  await using server = new Server().register("S", { ok: () => "ok" });
  const tcp = await server.listen("tcp@127.0.0.1:0");
  const http = await server.listen("http@127.0.0.1:0");
  const asTcp = http.address.replace("http@", "tcp@");
  const asHttp = tcp.address.replace("tcp@", "http@");
  await fails(connect(asTcp), "invalid_argument", `Cannot connect to ${asTcp}`);
  await fails(connect(asHttp), "unavailable", `Cannot connect to ${asHttp}`);
  await fails(connect(`${http.address}/elsewhere`), "unavailable", "405");
  await fails(
    connect(asTcp),
    "invalid_argument",
    "got HTTP; for RPC on an HTTP port use an address with http@, or ws@ behind Deno.serve or an HTTP proxy",
  );
  await fails(connect(asHttp), "unavailable", "got RPC without HTTP; use an address with tcp@ or tls@");
  await fails(connect(tcp.address.replace("tcp@", "ws@")), "unavailable", "use an address with tcp@ or tls@");
  await using web = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => new Response("web"));
  const { port } = web.addr;
  await fails(connect(`tcp@127.0.0.1:${port}`), "invalid_argument", "got HTTP; for RPC on an HTTP port use");
  await fails(
    connect(`http@127.0.0.1:${port}`),
    "unavailable",
    "for a server behind Deno.serve or an HTTP proxy use an address with ws@",
  );
  await fails(connect(`ws@127.0.0.1:${port}`), "unavailable", "pass requests for /_rpc_ on to server.fetch");
  await using nonsense = new RawServer(async (conn) => {
    await conn.write(new TextEncoder().encode("SSH-2.0-OpenSSH_9.6\r\n"));
  });
  await fails(connect(nonsense.address), "invalid_argument", nonsense.address);
});

Deno.test("connect: works over HTTP CONNECT, at another path too", async () => {
  await using server = new Server().register("S", { ok: () => "ok" });
  for (const path of ["", "/_rpc_", "/deep/path"]) {
    const { address } = await server.listen(`http@127.0.0.1:0${path}`);
    await using client = await connect(address);
    assertEquals(await client.call("S.ok"), "ok");
  }
});

Deno.test("connect: connectTimeout covers the handshake, and the connection is ended", async () => {
  const ended = Promise.withResolvers<void>();
  await using silent = new RawServer((conn) => readToEnd(conn).then(ended.resolve));
  const began = performance.now();
  const error = await fails(connect(silent.address, { connectTimeout: 150 }), "unavailable", "150 ms");
  const elapsed = performance.now() - began;
  assert(elapsed >= 149, `it took ${elapsed} ms`);
  assert(error.message.includes(silent.address), error.message);
  await ended.promise;
});

Deno.test("connect: connectTimeout covers an answer that comes byte by byte", async () => {
  await using slow = new RawServer(async (conn) => {
    for (;;) {
      await conn.write(new Uint8Array([0x20]));
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  });
  await fails(connect(slow.address, { connectTimeout: 100 }), "unavailable", "100 ms");
});

Deno.test("connect: connectTimeout Infinity is no limit", async () => {
  const gate = Promise.withResolvers<void>();
  await using late = new RawServer(async (conn) => {
    await gate.promise;
    await answerHandshake(conn);
    await readToEnd(conn);
  });
  const connecting = connect(late.address, { connectTimeout: Infinity });
  setTimeout(() => gate.resolve(), 50);
  await using _client = await connecting;
});

Deno.test("connect: a server that ends the connection instead of answering is unavailable", async () => {
  await using rude = new RawServer((conn) => Promise.resolve(conn.close()));
  const error = await fails(connect(rude.address), "unavailable", rude.address);
  assertEquals(error.notStarted, true);
});

Deno.test("connect: servers of a discovery are dialled when calls go to them", async () => {
  await using server = new Server().register("S", { ok: () => "ok" });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(new MultiServers([address, `tcp@127.0.0.1:${freePort()}`]));
  assertEquals(client.stats().endpoints.map(({ state }) => state), ["idle", "idle"]);
  assertEquals(server.stats().accepted, 0);
  assertEquals(await client.call("S.ok"), "ok");
});

Deno.test("connect: a discovery with no list in time, one that fails, and one that ends", async () => {
  const never: Discovery = {
    endpoints: () => Promise.resolve([]),
    watch: ({ signal } = {}) => ({
      // deno-lint-ignore require-yield
      async *[Symbol.asyncIterator]() {
        await new Promise((resolve) => signal!.addEventListener("abort", resolve));
      },
    }),
  };
  await soon(fails(connect(never, { connectTimeout: 50 }), "unavailable"), "the failure");
  const failing: Discovery = {
    ...never,
    // deno-lint-ignore require-yield
    async *watch() {
      await Promise.reject(new Error("The list burnt down"));
    },
  };
  await assertRejects(() => connect(failing), Error, "The list burnt down");
  await using server = new Server().register("S", { ok: () => "ok" });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const once: Discovery = {
    ...never,
    async *watch() {
      yield await Promise.resolve([{ address }]);
    },
  };
  await using client = await connect(once);
  assertEquals(await client.call("S.ok"), "ok");
});

Deno.test("connect: an empty list is accepted, and calls fail", async () => {
  await using client = await connect(new MultiServers([]));
  const error = await fails(client.call("S.ok"), "unavailable", "No server is known");
  assertEquals(error.notStarted, true);
});

Deno.test("connect: the error of a call without a server names the method, the service and the registry", () =>
  simulate(async () => {
    await using client = await connect(new MultiServers([]));
    const call = "No server is known to call S.ok: ";
    await fails(client.call("S.ok"), "unavailable", `${call}the list of servers is empty`);
    await fails(client.broadcast("S.ok"), "unavailable", `${call}the list of servers is empty`);
    const unpicky = { update() {}, pick: () => undefined };
    const addresses = new MultiServers(["tcp@127.0.0.1:1", "tcp@127.0.0.1:2"]);
    await using picks = await connect(addresses, { balancer: unpicky });
    await fails(picks.call("S.ok"), "unavailable", `${call}the balancer picked none of 2`);
    await using registry = new Registry();
    const fetch = (url: RequestInfo | URL, init?: RequestInit) => registry.fetch(new Request(url, init));
    const at = "the registry at http://registry.test";
    for (const service of [undefined, "S"]) {
      await using listed = await connect(new RegistryDiscovery("http://registry.test", { service, fetch }));
      const of = service === undefined ? "" : ' for service "S"';
      await fails(listed.call("S.ok"), "unavailable", `${call}${at}${of} lists none`);
      const waits = listed.call("S.ok", undefined, { waitForReady: true, timeout: 20 });
      await fails(waits, "deadline_exceeded", `${call}${at}${of} lists none`);
    }
  }));

Deno.test("connect: the error of a call without a server has the failure of the discovery as its cause", async () => {
  const failure = new RpcError("unavailable", "The registry is away");
  const discovery: Discovery = {
    failure,
    source: "the registry",
    endpoints: () => Promise.resolve([]),
    watch: (options) => new MultiServers([]).watch(options),
  };
  await using client = await connect(discovery);
  const error = await fails(
    client.call("S.ok"),
    "unavailable",
    "the registry lists none; The registry is away",
  );
  assertEquals(error.cause, failure);
});

Deno.test("connect: the hints for a server that shuts down, a proxy, and a page in its place are right", async () => {
  const hints: [status: number, hint: string][] = [
    [503, "the server is full or shutting down, or an HTTP proxy that has no server answers"],
    [502, "an HTTP proxy answers, which cannot reach the server"],
    [504, "an HTTP proxy answers, which cannot reach the server"],
    [404, "pass requests for /_rpc_ on to server.fetch"],
  ];
  for (const [status, hint] of hints) {
    const options = { hostname: "127.0.0.1", port: 0, onListen() {} };
    await using web = Deno.serve(options, () => new Response(null, { status }));
    await fails(connect(`ws@127.0.0.1:${web.addr.port}`), "unavailable", hint);
  }
});

Deno.test("connect: a dial that is given up just as it succeeds leaks no socket", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const stop = new AbortController();
  const { connect } = Deno;
  // What happens once in some thousand times: the signal aborts when the socket is there and Deno is about to hand it
  // over. Deno asks the signal that it was given, and loses the socket if that throws.
  const unlucky = async (options: Deno.ConnectOptions & { signal?: AbortSignal }) => {
    const socket = await connect({ hostname: options.hostname, port: options.port });
    stop.abort(new Error("given up"));
    options.signal?.throwIfAborted();
    return socket;
  };
  Deno.connect = unlucky as typeof Deno.connect;
  try {
    const dialled = dialTcp({ hostname: "127.0.0.1", port: listener.addr.port }, stop.signal);
    await assertRejects(() => dialled, Error, "given up");
  } finally {
    Deno.connect = connect;
  }
  using socket = await listener.accept();
  assertEquals(await soon(socket.read(new Uint8Array(1)), "the end of the connection"), null);
});
