// The page at /debug/rpc and its JSON: what they tell, what they do not, and whom.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { PAGE_SCRIPT } from "../../monitoring/page_script.ts";
import { simulate } from "../../testing/mod.ts";
import { connect, Server, type ServerOptions } from "../../mod.ts";
import type { ServerSnapshot } from "../../server/mod.ts";
import { call, credit } from "../support/frames.ts";
import { OPTION, RawPeer } from "../support/raw_peer.ts";
import { fails, Patient } from "../support/session_pair.ts";
import { until } from "../support/waiting.ts";
import { portOf } from "../support/wire_harness.ts";

const ODD = `<img src=x onerror="alert('1')">&amp;`;
const PAGE = "http://localhost/debug/rpc";
/** Who asks from this machine. */
const LOCAL = { remoteAddr: { transport: "tcp", hostname: "127.0.0.1", port: 50_312 } } as const;
const fromHere = () => new Request(PAGE, { headers: { host: "localhost" } });

/** A server whose methods have been called. */
async function called(options?: ServerOptions) {
  const server = new Server(options);
  server.register("Echo", { echo: (value: unknown) => value, [ODD]: () => 1 });
  server.register("Große.Tiere", {
    fail: () => {
      throw new Error("a secret");
    },
  });
  const { address } = await server.listen("http@127.0.0.1:0");
  await using client = await connect(address, { token: "secret token" });
  const metadata = { note: "secret metadata" };
  for (let i = 0; i < 3; i++) await client.call("Echo.echo", { secret: "argument" }, { metadata });
  await fails(client.call("Große.Tiere.fail"), "internal");
  return { server, address, [Symbol.asyncDispose]: () => server.close() };
}

/** Everything that a server shows to its own machine. */
async function snapshotOf(server: Server): Promise<ServerSnapshot> {
  await using http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, server.fetch);
  const url = `http://127.0.0.1:${http.addr.port}/debug/rpc`;
  const response = await fetch(url, { headers: { accept: "application/json" } });
  return await response.json();
}

Deno.test("debug page: names services, methods and counts, and escapes what is in a name", async () => {
  await using at = await called();
  const response = await at.server.fetch(new Request(PAGE));
  assertEquals([response.status, response.headers.get("content-type")], [200, "text/html; charset=utf-8"]);
  const page = await response.text();
  assertStringIncludes(page, "refused by reason: none;");
  assertStringIncludes(page, "Limits met: none.");
  assertMatch(page, /<h2>Echo<\/h2>/);
  assertMatch(page, /<th scope="row">echo<\/th><td [^>]*>3<\/td>/);
  assertMatch(page, /<h2>Große\.Tiere<\/h2>/);
  assertMatch(page, /<th scope="row">fail<\/th><td [^>]*>1<\/td>.*?<b class="bad">1<\/b><small>internal 1</);
  assert(!page.includes("<img") && !page.includes('onerror="'), "a name is never markup");
  assertStringIncludes(page, "onerror=");
  assert(!page.includes("secret"), "neither arguments nor errors are shown");
});

Deno.test("debug page: shows no arguments, results, metadata or tokens", async () => {
  await using server = new Server({ authenticate: () => true });
  const waiting = new Patient();
  server.register("S", {
    wait: waiting.wait,
    feed: () => feed(),
    take: (items: AsyncIterable<unknown>) => drain(items),
  });
  async function* feed() {
    yield "secret item";
    await new Promise<void>((resolve) => ends.push(resolve));
  }
  async function drain(items: AsyncIterable<unknown>) {
    for await (const _ of items);
    return "secret result";
  }
  const ends: (() => void)[] = [];
  const { address } = await server.listen("tcp@127.0.0.1:0");
  {
    await using client = await connect(address, { token: "secret token" });
    const metadata = { note: "secret metadata" };
    const call = fails(client.call("S.wait", "secret argument", { metadata }), "unavailable");
    const items = client.stream("S.feed", "secret argument");
    await items.next();
    const taken = fails(client.call("S.take", feed()), "unavailable");
    await until(() => server.stats().inFlight === 3 && ends.length === 2, "all to be under way");
    const { calls, streams } = await snapshotOf(server);
    assertEquals([calls.list.length, streams.list.length], [1, 2]);
    for (const as of ["json", "page", "html"]) {
      const response = await server.fetch(new Request(`${PAGE}?as=${as}`, fromHere()), LOCAL);
      const text = await response.text();
      assertStringIncludes(text, "S.wait");
      assertStringIncludes(text, String(server.snapshot().calls.list[0]!.peer));
      assert(!text.includes("secret"), as);
    }
    const left = fails(items.next(), "unavailable");
    await client.close();
    for (const end of ends) end();
    await Promise.all([call, taken, left]);
  }
});

Deno.test("debug page: returns JSON to a client that accepts it, with all fields of before", async () => {
  await using at = await called();
  const json = { headers: { accept: "application/json" } };
  const response = await at.server.fetch(new Request(PAGE, json));
  assertEquals(response.headers.get("content-type"), "application/json");
  const stats = await response.json();
  assertEquals(stats.methods.map(({ method }: { method: string }) => method), [
    "Echo.echo",
    `Echo.${ODD}`,
    "Große.Tiere.fail",
  ]);
  const [{ calls, errors, inFlight, latency }] = stats.methods;
  assertEquals([calls, errors, inFlight], [3, 0, 0]);
  assert(latency.p50 > 0 && latency.p50 <= latency.max);
  assertEquals([latency.count, latency.spans.reduce((sum: number, [, n]: number[]) => sum + n!, 0)], [3, 3]);
  assertEquals(stats.accepted, 1);
  const same = await (await at.server.fetch(new Request(`${PAGE}?as=json`))).json();
  assertEquals(Object.keys(same), Object.keys(stats));
  for (const name of Object.keys(at.server.stats())) assert(name in stats, name);
});

Deno.test("debug page: shows a call in flight with its age, time and peer, also one whose caller has gone", async () => {
  const ends: (() => void)[] = [];
  await using server = new Server().register("S", { wait: () => new Promise<void>((end) => ends.push(end)) });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address, { timeout: Infinity });
  const stop = new AbortController();
  const given = fails(client.call("S.wait", null, { signal: stop.signal }), "canceled");
  await until(() => ends.length === 1, "the first");
  const patient = client.call("S.wait");
  const timed = client.call("S.wait", null, { timeout: 60_000 });
  await until(() => ends.length === 3, "the others");
  stop.abort();
  await given;
  await until(() => server.stats().methods[0]!.errors === 1, "it to be canceled");
  const { calls, streams, peers } = await snapshotOf(server);
  assertEquals([calls.more, streams], [0, { list: [], more: 0 }]);
  const peer = peers.list[0]!.address;
  assertMatch(peer, /^tcp@127\.0\.0\.1:\d+$/);
  assertEquals(calls.list.map(({ method, peer, seq, abandoned }) => [method, peer, seq, abandoned]), [
    ["S.wait", peer, 1, true],
    ["S.wait", peer, 3, false],
    ["S.wait", peer, 5, false],
  ]);
  const [first, second, third] = calls.list;
  assert(first!.age >= second!.age && second!.age >= third!.age && third!.age >= 0);
  assertEquals([first!.timeLeft, second!.timeLeft], [undefined, undefined]);
  assert(third!.timeLeft! > 50_000 && third!.age + third!.timeLeft! <= 60_001, `${third!.timeLeft}`);
  const { inFlight, calls: made, callsBack, unsentBytes, state, codec, transport } = peers.list[0]!;
  assertEquals(
    { inFlight, made, callsBack, unsentBytes, state, codec, transport },
    {
      inFlight: 3,
      made: 3,
      callsBack: 0,
      unsentBytes: 0,
      state: "open",
      codec: "application/cbor",
      transport: "tcp",
    },
  );
  for (const end of ends) end();
  await Promise.all([patient, timed]);
  assertEquals((await snapshotOf(server)).calls, { list: [], more: 0 });
});

Deno.test("debug page: shows the progress of streams, and what they wait for", async () => {
  const taken = Promise.withResolvers<void>();
  await using server = new Server().register("S", {
    feed: function* () {
      for (let i = 0;; i++) yield i;
    },
    idle: async function* () {
      yield "one";
      await taken.promise;
    },
    take: async (items: AsyncIterable<unknown>) => {
      const each = items[Symbol.asyncIterator]();
      await each.next();
      await taken.promise;
      while (!(await each.next()).done);
    },
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address);
  const unread = client.stream("S.feed");
  await unread.next();
  const idle = client.stream("S.idle");
  await idle.next();
  const pushed = client.call(
    "S.take",
    (async function* () {
      for (let i = 0; i < 10; i++) yield "x".repeat(100);
      await taken.promise;
    })(),
  );
  const flows = () => server.snapshot().streams.list;
  await until(() => flows().length === 3 && flows()[2]!.receiving?.items === 10, "all that is sent");
  await until(() => flows()[0]!.sending?.waitsFor === "credit", "the first to be stopped");
  const [feed, quiet, take] = flows();
  assertEquals([feed!.receiving, take!.sending], [undefined, undefined]);
  const { items, bytes, itemCredit } = feed!.sending!;
  assertEquals([itemCredit, items >= 64 && bytes >= items], [0, true], `${items} items, ${bytes} bytes`);
  const { byteCredit, ...small } = quiet!.sending!;
  assertEquals(small, { items: 1, bytes: 4, itemCredit: 63, waiting: 0, waitsFor: "handler" });
  assertEquals(byteCredit, 262_144 - 4);
  const { waiting, waitsFor } = take!.receiving!;
  assertEquals([waiting, waitsFor, take!.receiving!.bytes], [9, "handler", 1_020]);
  // One more is asked for, of all that were sent.
  for (let i = 0; i < 40; i++) await unread.next();
  await until(() => flows()[0]!.sending!.items > items, "it to go on");
  taken.resolve();
  await unread.return?.();
  await idle.return?.();
  await pushed;
});

Deno.test("debug page: its lists are bounded, and say how much they leave out", async () => {
  const ends: (() => void)[] = [];
  await using server = new Server().register("S", { wait: () => new Promise<void>((end) => ends.push(end)) });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const clients = await Promise.all(Array.from({ length: 120 }, () => connect(address)));
  const busy = clients[77]!;
  const calls = Array.from({ length: 250 }, () => busy.call("S.wait"));
  await until(() => ends.length === 250, "all calls");
  const snapshot = await snapshotOf(server);
  assertEquals([snapshot.calls.list.length, snapshot.calls.more], [100, 150]);
  assertEquals(
    snapshot.calls.list.map(({ seq }) => seq),
    Array.from({ length: 100 }, (_, i) => 2 * i + 1),
    "oldest",
  );
  assertEquals([snapshot.peers.list.length, snapshot.peers.more], [100, 20]);
  assertEquals(
    snapshot.peers.list.filter(({ inFlight }) => inFlight === 250).length,
    1,
    "the busiest is among them",
  );
  const ages = snapshot.peers.list.map(({ age }) => age);
  assertEquals(ages, ages.toSorted((a, b) => b - a), "oldest first");
  const shown = await (await server.fetch(fromHere(), LOCAL)).text();
  assertStringIncludes(shown, "and 225 more");
  assertEquals(shown.match(/<th scope="row">S\.wait<\/th>/g)?.length, 25);
  for (const end of ends) end();
  await Promise.all(calls);
  await Promise.all(clients.map((client) => client.close()));
});

Deno.test("debug page: a call is no stream because its caller gave it credit", async () => {
  const [one, all] = [Promise.withResolvers<string>(), Promise.withResolvers<Iterable<string>>()];
  await using server = new Server().register("S", { one: () => one.promise, all: () => all.promise });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  using peer = await RawPeer.dial(portOf(address));
  await peer.send(OPTION, call(1, "S.one"), call(3, "S.all"), credit(1, 5, 5_000), credit(3, 5, 5_000));
  await until(() => server.stats().inFlight === 2, "both to be under way");
  const listed = () => {
    const { calls, streams } = server.snapshot();
    return [calls, streams].map(({ list }) => list.map(({ method }) => method));
  };
  assertEquals(listed(), [["S.one", "S.all"], []]);
  one.resolve("x");
  // More than the credit, so that the stream does not end.
  all.resolve(function* () {
    for (let i = 0; i < 1_000; i++) yield "x";
  }());
  await until(() => server.snapshot().streams.list.length === 1, "the stream to begin");
  assertEquals(listed(), [[], ["S.all"]]);
  assertEquals(server.snapshot().streams.list[0]!.sending!.waitsFor, "credit");
});

Deno.test("debug page: shows the most called of very many methods", async () => {
  await using server = new Server();
  server.register("Many", Object.fromEntries(Array.from({ length: 250 }, (_, i) => [`m${i}`, () => i])));
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address);
  await client.call("Many.m249");
  const page = await (await server.fetch(new Request(PAGE))).text();
  assertEquals(page.match(/<th scope="row">m\d+<\/th>/g)?.length, 200);
  assertStringIncludes(page, '<th scope="row">m249</th>');
  assertStringIncludes(page, "and 50 more");
  assertEquals(server.stats().methods.length, 250);
});

Deno.test("debug page: a histogram has a bar for each bucket, and the rest as text", async () => {
  await using at = await called();
  const page = await (await at.server.fetch(new Request(PAGE))).text();
  const { p50, p99, max, spans } = at.server.stats().methods[0]!.latency;
  const [, label = "", inside = ""] = /<svg class="histogram" role="img" aria-label="(.*?)".*?>(.*?)<\/svg>/
    .exec(page)!;
  assertMatch(
    label,
    /^Latency of Echo\.echo: half of the calls within .+s, 99 of 100 within .+s, the slowest .+s$/,
  );
  const [, bars = ""] = /<path class="bars" d="(.*?)">/.exec(inside)!;
  assertEquals(bars.match(/M/g)?.length, spans.length);
  const at50 = Number(/<path class="p50" d="M([\d.]+) /.exec(inside)![1]);
  const at99 = Number(/<path class="p99" d="M([\d.]+) /.exec(inside)![1]);
  assert(p50 === p99 ? at50 === at99 : at50 < at99, `${p50} at ${at50}, ${p99} at ${at99}, ${max}`);
  assertEquals(page.match(/<svg class="histogram"/g)?.length, 2, "none for what was never called");
});

Deno.test("debug page: is read-only, and the rest is not found", async () => {
  await using server = new Server();
  const ask = (path: string, init?: RequestInit) => server.fetch(new Request(`http://x${path}`, init));
  for (const path of ["/debug/rpc", "/metrics"]) {
    assertEquals((await ask(path, { method: "HEAD" })).status, 200);
    const post = await ask(path, { method: "POST" });
    assertEquals([post.status, post.headers.get("allow")], [405, "GET, HEAD"]);
    assertEquals((await ask(`${path}/`)).status, 404);
  }
  const rpc = await ask("/_rpc_");
  assertEquals([rpc.status, rpc.headers.get("allow")], [405, "CONNECT, GET"]);
  assertStringIncludes(await (await ask("/")).text(), "see /debug/rpc");
});

Deno.test("debug page: one response that loads nothing else, under a policy that allows nothing else", async () => {
  await using at = await called();
  const response = await at.server.fetch(new Request(PAGE));
  const policy = response.headers.get("content-security-policy")!;
  assertMatch(
    policy,
    /^default-src 'none'; script-src 'sha256-[\w+/=]{44}'; style-src 'sha256-[\w+/=]{44}'; connect-src 'self'; /,
  );
  for (const part of ["frame-ancestors 'none'", "require-trusted-types-for 'script'"]) {
    assertStringIncludes(policy, part);
  }
  const html = await response.text();
  assertEquals(html.match(/(?:src|href)="(?!data:,"|\?as=json"|\.\.\/metrics"|")/g), null);
  assertEquals(/innerHTML|insertAdjacentHTML|document\.write|eval\(| style="| on\w+="/.test(html), false);
});

/** The script of the page in as much of a browser as it asks for at first, whose requests are answered by a test. */
function pageInStub() {
  const element = () => ({
    dataset: { uptime: "1" } as Record<string, string>,
    textContent: "",
    hidden: true,
    listeners: new Map<string, () => void>(),
    addEventListener(name: string, listener: () => void) {
      this.listeners.set(name, listener);
    },
    setAttribute() {},
  });
  const elements = new Map(["page", "status", "pause"].map((id) => [id, element()]));
  const document = { ...element(), hidden: false, getElementById: (id: string) => elements.get(id) };
  const asked: PromiseWithResolvers<Response>[] = [];
  const fetch = (_: string, { signal }: { signal: AbortSignal }) => {
    const answer = Promise.withResolvers<Response>();
    asked.push(answer);
    signal.addEventListener("abort", () => answer.reject(signal.reason));
    return answer.promise;
  };
  new Function("document", "location", "fetch", PAGE_SCRIPT)(document, { origin: "", pathname: "" }, fetch);
  const status = () => elements.get("status")!.textContent;
  const hide = (hidden: boolean) => {
    document.hidden = hidden;
    document.listeners.get("visibilitychange")!();
  };
  return { asked, status, hide, pause: () => elements.get("pause")!.listeners.get("click")!() };
}

Deno.test("debug page: hidden or paused during a request, it does not report that the server is away", () =>
  simulate(async ({ sleep }) => {
    const page = pageInStub();
    assertEquals(page.status(), "live");
    await sleep(1_100);
    assertEquals(page.asked.length, 1);
    page.hide(true);
    await sleep(5_000);
    assertEquals([page.status(), page.asked.length], ["live", 1]);
    page.hide(false);
    assertEquals(page.asked.length, 2);
    page.asked[1]!.reject(new TypeError("refused"));
    await sleep(500);
    assertEquals(page.status(), "away, trying again");
    await sleep(1_000);
    assertEquals(page.asked.length, 3);
    page.pause();
    await sleep(5_000);
    assertEquals([page.status(), page.asked.length], ["paused", 3]);
    page.pause();
    assertEquals(page.asked.length, 4);
    await sleep(10_100);
    assertEquals(page.status(), "away, trying again", "no answer is one, too");
    page.hide(true);
  }));
