// Who is shown what of a server over HTTP, and what else of its process is shown: the option `monitoring`, and `show`.

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { connect, MultiServers, RpcError, Server, type ServerOptions } from "../../mod.ts";
import type { StatsSource } from "../../server/mod.ts";
import { RawPeer } from "../support/raw_peer.ts";
import { portOf } from "../support/wire_harness.ts";

const PAGE = "http://localhost/debug/rpc";
/** Who asks from this machine. */
const LOCAL = { remoteAddr: { transport: "tcp", hostname: "127.0.0.1", port: 50_312 } } as const;
const fromHere = () => new Request(PAGE, { headers: { host: "localhost" } });

async function serve() {
  const server = new Server().register("Echo", { echo: (value: unknown) => value });
  const { address } = await server.listen("http@127.0.0.1:0");
  return { server, address, [Symbol.asyncDispose]: () => server.close() };
}

/** What a client is shown: everything, the figures, or neither. */
async function seen(server: Server, request: Request, hostname?: string): Promise<true | "figures" | number> {
  const info = hostname === undefined ? undefined : { remoteAddr: { ...LOCAL.remoteAddr, hostname } };
  const json = new Request(request, {
    headers: { ...Object.fromEntries(request.headers), accept: "application/json" },
  });
  const response = await server.fetch(json, info);
  if (response.status !== 200) {
    await response.body?.cancel();
    return response.status;
  }
  const stats = await response.json();
  assertEquals("methods" in stats, true);
  const private_ = ["calls", "streams", "peers", "shown"].filter((name) => name in stats).length;
  assert(private_ === 0 || private_ === 4);
  return private_ === 4 ? true : "figures";
}

Deno.test("monitoring: by default, this machine sees everything, others only the figures", async () => {
  await using at = await serve();
  const { server } = at;
  const page = (host: string, headers = {}) =>
    new Request(`http://${host}/debug/rpc`, { headers: { host, ...headers } });
  for (
    const [host, from] of [["localhost:80", "127.0.0.1"], ["127.0.0.1", "::1"], [
      "[::1]:8080",
      "::ffff:127.0.0.1",
    ]]
  ) {
    assertEquals(await seen(server, page(host!), from), true, `${host} ${from}`);
  }
  assertEquals(await seen(server, page("localhost"), "10.0.0.7"), "figures", "from elsewhere");
  assertEquals(await seen(server, page("localhost"), "::ffff:10.0.0.7"), "figures");
  assertEquals(await seen(server, page("localhost")), "figures", "the peer is unknown");
  assertEquals(await seen(server, page("evil.example"), "127.0.0.1"), "figures", "DNS rebinding");
  assertEquals(await seen(server, page("localhost.evil.example"), "127.0.0.1"), "figures");
  assertEquals(await seen(server, page("localhost", { host: "evil.example" }), "127.0.0.1"), "figures");
  const hostless = (scheme: string) => new Request(`${scheme}://localhost/debug/rpc`);
  assertEquals(await seen(server, hostless("http"), "127.0.0.1"), "figures", "the host is unknown");
  assertEquals(await seen(server, hostless("https"), "127.0.0.1"), true, "HTTP/2 has it in the URL");
  const forwarded = ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded"];
  for (const name of [...forwarded, "X-Real-IP", "Via"]) {
    assertEquals(await seen(server, page("localhost", { [name]: "x" }), "127.0.0.1"), "figures", name);
  }
  const unix = { remoteAddr: { transport: "unix", path: "" } } as const;
  const overUnix = await server.fetch(new Request("http://any.example/debug/rpc?as=json"), unix);
  assertEquals("peers" in await overUnix.json(), true, "a Unix socket is of this machine");
});

/** Whom a request from this machine may be for, as it is written: its target, its `Host`, and what that is shown. */
const ASKED: [target: string, host: string | undefined, seen: "all" | "figures" | "nothing"][] = [
  ["/debug/rpc?as=json", "127.0.0.1", "all"],
  ["/debug/rpc?as=json", "localhost:8080", "all"],
  ["/debug/rpc?as=json", "evil.example", "figures"],
  ["/debug/rpc?as=json", "evil.example:8080", "figures"],
  ["/debug/rpc?as=json", undefined, "figures"],
  ["/debug/rpc?as=json", "", "figures"],
  ["//localhost/debug/rpc?as=json", "evil.example", "nothing"],
  ["/\\localhost/debug/rpc?as=json", "evil.example", "nothing"],
  ["//x/debug/rpc?as=json", "localhost", "nothing"],
  ["/debug/rpc?as=json", "localhost/x?", "nothing"],
];

for (const [kind, absolute] of [["an http@ address", "nothing"], ["Deno.serve", "figures"]] as const) {
  Deno.test(`monitoring: neither target nor Host makes ${kind} show the page to a foreign origin (DNS rebinding)`, async () => {
    await using at = await serve();
    await using http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, at.server.fetch);
    const port = kind === "Deno.serve" ? http.addr.port : portOf(at.address);
    const asked = [...ASKED, ["http://localhost/debug/rpc?as=json", "evil.example", absolute] as const];
    for (const [target, host, expected] of asked) {
      using peer = await RawPeer.dial(port);
      const headers = `${host === undefined ? "" : `Host: ${host}\r\n`}Connection: close\r\n`;
      await peer.send(`GET ${target} HTTP/1.1\r\n${headers}\r\n`);
      const answer = await peer.text();
      const shown = answer.includes('"peers":')
        ? "all"
        : answer.includes('"methods":')
        ? "figures"
        : "nothing";
      assertEquals(shown, expected, `${target} of ${host}`);
    }
  });
}

Deno.test("monitoring: the page says what it leaves out, and the metrics are the same for all", async () => {
  await using at = await serve();
  const page = await (await at.server.fetch(new Request(PAGE))).text();
  assertStringIncludes(page, "shown on the server&#39;s own machine");
  assert(!page.includes("<h2>Connections</h2>"));
  const all = await (await at.server.fetch(fromHere(), LOCAL)).text();
  assertStringIncludes(all, "<h2>Connections</h2>");
  assertEquals((await at.server.fetch(new Request("http://x/metrics"))).status, 200);
});

Deno.test("monitoring: the option decides, for all or for each request", async () => {
  const asked: string[] = [];
  const log: string[] = [];
  const cases: [ServerOptions["monitoring"], true | "figures" | number][] = [
    [true, true],
    ["figures", "figures"],
    [false, 404],
    [(_, peer) => (asked.push(peer), true), true],
    [() => Promise.resolve("figures" as const), "figures"],
    [({ headers }) => headers.get("authorization") === "Bearer right", true],
    [() => false, 403],
    [() => new Response("Who are you?", { status: 401, headers: { "www-authenticate": "Basic" } }), 401],
    [() => "yes" as unknown as boolean, 403],
    [() => Promise.reject(new Error("broken")), 403],
  ];
  const request = new Request(PAGE, { headers: { authorization: "Bearer right" } });
  for (const [monitoring, expected] of cases) {
    await using server = new Server({ monitoring, log: (message) => log.push(message) });
    assertEquals(await seen(server, request, "10.0.0.7"), expected, String(monitoring));
    const metrics = await server.fetch(new Request("http://x/metrics", { headers: request.headers }));
    assertEquals(metrics.status, typeof expected === "number" ? expected : 200);
    await metrics.body?.cancel();
  }
  assertEquals(asked, ["tcp@10.0.0.7:50312", "unknown"]);
  assertEquals(log, Array(2).fill("The option monitoring failed, so nothing is shown"));
  for (const wrong of ["all", 1, null, {}]) {
    assertThrows(
      () => new Server({ monitoring: wrong as unknown as boolean }),
      TypeError,
      "Cannot use monitoring",
    );
  }
  await using off = new Server({ monitoring: false });
  assertEquals(await (await off.fetch(new Request("http://x/"))).text(), "Nothing is served at /\n");
});

Deno.test("monitoring: the same Response may be the answer every time", async () => {
  const denied = new Response("Who are you?", { status: 401 });
  const used = new Response("x");
  await used.text();
  await using server = new Server({ monitoring: ({ url }) => url.endsWith("metrics") ? used : denied });
  const { address } = await server.listen("http@127.0.0.1:0");
  for (let i = 0; i < 3; i++) {
    const response = await fetch(`http://127.0.0.1:${portOf(address)}/debug/rpc`);
    assertEquals([response.status, await response.text()], [401, "Who are you?"]);
  }
  const response = await server.fetch(new Request("http://x/metrics"));
  assertEquals(
    [response.status, await response.text()],
    [403, "This is not shown to you\n"],
    "it was read before",
  );
});

Deno.test("show: a source that throws is left out of the metrics, and nothing else is", async () => {
  const log: string[] = [];
  await using server = new Server({ log: (message) => log.push(message) });
  const figures = {
    endpoints: [{ state: "ready", connections: 1 }],
    pending: 0,
    retries: 0,
    refusedRetries: 0,
  };
  const broken = (): number => {
    throw new Error("broken");
  };
  const values: [string, object][] = [
    ["getter", {
      ...figures,
      get limits() {
        return broken();
      },
    }],
    ["proxy", new Proxy(figures, { get: broken })],
    ["list", { ...figures, limits: {}, endpoints: [new Proxy({}, { get: broken })] }],
    ["figure", { ...figures, limits: Object.defineProperty({}, "a", { enumerable: true, get: broken }) }],
    ["well", { ...figures, limits: {} }],
  ];
  for (const [name, stats] of values) server.show(name, { stats: () => stats });
  const response = await server.fetch(new Request("http://x/metrics"));
  const text = await response.text();
  assertEquals(text.match(/^rpc_client_calls_pending.*$/gm), ['rpc_client_calls_pending{client="well"} 0']);
  assertEquals(log, values.slice(0, 4).map(([name]) => `The stats of "${name}" cannot be shown`));
  const page = await server.fetch(fromHere(), LOCAL);
  assertEquals(page.status, 200);
  assertStringIncludes(await page.text(), "<h2>well</h2>");
});

Deno.test("show: any object with stats() is shown, such as a client with its balancer and server health", async () => {
  const down = new Server().register("S", {
    ok: () => {
      throw new RpcError("unavailable", "Not now");
    },
  });
  const up = new Server().register("S", { ok: () => "ok" });
  await using _down = down, _up = up;
  const addresses = [
    (await up.listen("tcp@127.0.0.1:0")).address,
    (await down.listen("tcp@127.0.0.1:0")).address,
  ];
  const options = {
    balancer: "round_robin",
    ejection: { consecutiveFailures: 3, baseTime: 60_000 },
  } as const;
  await using client = await connect(new MultiServers(addresses), options);
  await using server = new Server();
  using _shown = server.show("To <S>", client);
  for (let i = 0; i < 10; i++) await client.call("S.ok").catch(() => {});
  const [{ name, stats }] = server.snapshot().shown as unknown as [
    { name: string; stats: ReturnType<typeof client.stats> },
  ];
  assertEquals([name, stats.balancer, stats.endpoints.length], ["To <S>", "round_robin", 2]);
  const [well, ill] = stats.endpoints;
  assertEquals(well, {
    address: addresses[0]!,
    state: "ready",
    connections: 1,
    pending: 0,
    weight: 1,
    failures: 0,
  });
  const { probeIn, ...rest } = ill!;
  assertEquals(rest, {
    address: addresses[1]!,
    state: "ready",
    connections: 1,
    pending: 0,
    weight: 1,
    failures: 0,
    health: "ejected",
  });
  assert(probeIn! > 40_000 && probeIn! <= 72_000, `${probeIn} ms, 20 % more or less`);
  const page = await (await server.fetch(fromHere(), LOCAL)).text();
  assertStringIncludes(page, "<h2>To &#60;S&#62;</h2>");
  assertStringIncludes(page, `<tr data-key="${addresses[1]}" data-state="ejected">`);
  assertStringIncludes(page, "<dt>Refused retries</dt>");
  const figures = await (await server.fetch(new Request(PAGE))).text();
  assert(!figures.includes(addresses[0]!), "addresses are not figures");
});

Deno.test("show: a name may be replaced, and is freed on disposal", () => {
  const server = new Server();
  const names = () => server.snapshot().shown.map(({ name, stats }) => `${name} ${stats}`);
  const one = server.show("a", { stats: () => 1 });
  const two = server.show("a", { stats: () => 2 });
  server.show("b", { stats: () => 3 });
  assertEquals(names(), ["a 2", "b 3"]);
  one[Symbol.dispose]();
  assertEquals(names(), ["a 2", "b 3"], "it is another's by now");
  two[Symbol.dispose]();
  two[Symbol.dispose]();
  assertEquals(names(), ["b 3"]);
  for (const name of ["", "x".repeat(65), 1 as unknown as string]) {
    assertThrows(() => server.show(name, { stats: () => 1 }), TypeError, "Cannot show stats");
  }
  for (const source of [{}, null, 1, { stats: 1 }]) {
    assertThrows(
      () => server.show("c", source as unknown as StatsSource),
      TypeError,
      "expected an object with stats()",
    );
  }
});

Deno.test("show: reported values become plain data of bounded size", async () => {
  const log: string[] = [];
  await using server = new Server({ log: (message) => log.push(message) });
  const circle: Record<string, unknown> = { name: "circle" };
  circle.self = circle;
  const wide = {
    wide: Array.from({ length: 1_000 }, (_, i) => ({ i, deep: Array.from({ length: 1_000 }, () => i) })),
  };
  const cases: [unknown, unknown][] = [
    [{ big: 10n, bad: NaN, none: undefined, run: () => 1, when: new Date(0), bytes: new Uint8Array(3) }, {
      big: "10",
      bad: "NaN",
      when: "1970-01-01T00:00:00.000Z",
      bytes: "3 bytes",
    }],
    [new Map<unknown, unknown>([["a", new Set([1, undefined])], [2, "x"]]), { a: [1, null], 2: "x" }],
    [JSON.parse(`{"__proto__": {"polluted": 1}}`), JSON.parse(`{"__proto__": {"polluted": 1}}`)],
    ["x".repeat(1_000), `${"x".repeat(500)}…`],
    [null, null],
    [undefined, undefined],
  ];
  for (const [stats, expected] of cases) {
    server.show("x", { stats: () => stats });
    assertEquals(server.snapshot().shown, [{ name: "x", stats: expected }]);
    assertEquals((await server.fetch(fromHere(), LOCAL)).status, 200);
  }
  for (const stats of [circle, wide]) {
    server.show("x", { stats: () => stats });
    const length = JSON.stringify(server.snapshot().shown).length;
    assert(length > 50 && length < 100_000, `${length}`);
    assert((await (await server.fetch(fromHere(), LOCAL)).text()).length < 300_000);
  }
  server.show("x", {
    stats: () => {
      throw new Error("broken");
    },
  });
  assertEquals(server.snapshot().shown, [{ name: "x", stats: undefined }]);
  assertEquals(log, ['The stats of "x" cannot be shown']);
  assertStringIncludes(await (await server.fetch(fromHere(), LOCAL)).text(), "<p>failed</p>");
});
