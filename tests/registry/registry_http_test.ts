// The registry over HTTP: both forms of registering, the list, taking off, and what it refuses.

import { assertEquals, assertMatch, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { MemoryStore } from "../../registry/memory_store.ts";
import { Registry } from "../../registry/registry.ts";
import type { RegistryOptions } from "../../registry/registry_options.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { REGISTRY_URL } from "../support/registry_link.ts";

const A = "tcp@127.0.0.1:1";
const B = "tcp@127.0.0.1:2";

/** A registry on a stopped clock, and functions that send requests to it. */
function open(options: RegistryOptions = {}) {
  const clock = new FakeClock();
  const registry = new Registry({ clock, ...options });
  const ask = async (init: RequestInit = {}, url = REGISTRY_URL) => {
    const response = await registry.fetch(new Request(url, init));
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: text === "" ? undefined : JSON.parse(text),
    };
  };
  const post = (value: unknown) =>
    ask({ method: "POST", body: typeof value === "string" ? value : JSON.stringify(value) });
  const postHeader = (address: string) => ask({ method: "POST", headers: { "X-Rpc-Server": address } });
  const addresses = async () => (await ask()).headers.get("X-Rpc-Servers");
  return { clock, registry, ask, post, postHeader, addresses };
}

Deno.test("registry: headers alone suffice to register, renew, list and remove", async () => {
  const { clock, ask, postHeader, addresses } = open();
  assertEquals(await addresses(), "");
  const first = await postHeader(A);
  assertEquals([first.status, first.body], [201, { address: A, ttl: 10_000, age: 0 }]);
  await postHeader(B);
  await clock.advance(9_999);
  assertEquals((await postHeader(A)).status, 200);
  assertEquals(await addresses(), `${A},${B}`);
  await clock.advance(1);
  assertEquals(await addresses(), A);
  assertEquals((await ask({ method: "DELETE", headers: { "X-Rpc-Server": A } })).status, 204);
  assertEquals((await ask({ method: "DELETE", headers: { "X-Rpc-Server": A } })).status, 404);
  assertEquals(await addresses(), "");
});

Deno.test("registry: JSON has more fields, and is listed unchanged", async () => {
  const { clock, ask, post } = open();
  const instance = { address: B, services: ["Foo"], weight: 3, metadata: { zone: "z" } };
  const { status, body } = await post({ ...instance, ttl: 60_000, unknown: "left out" });
  assertEquals([status, body], [201, { address: B, ttl: 60_000, age: 0 }]);
  await post({ address: A });
  await clock.advance(5);
  const list = await ask();
  assertEquals(list.status, 200);
  assertEquals(list.headers.get("content-type"), "application/json");
  assertEquals(list.headers.get("cache-control"), "no-store");
  assertEquals(list.headers.get("x-rpc-revision"), String(list.body.revision));
  assertEquals(list.body, {
    revision: list.body.revision,
    ttl: 10_000,
    servers: [
      { address: A, ttl: 10_000, age: 5, idle: 5 },
      { ...instance, ttl: 60_000, age: 5, idle: 5 },
    ],
  });
});

Deno.test("registry: a heartbeat by header keeps data sent as JSON, JSON replaces them", async () => {
  const { clock, ask, post, postHeader } = open();
  await post({ address: A, services: ["Foo"], weight: 3, ttl: 500 });
  await clock.advance(400);
  assertEquals((await postHeader(A)).body, { address: A, ttl: 500, age: 400 });
  assertEquals((await ask()).body.servers[0].services, ["Foo"]);
  assertEquals((await post({ address: A, weight: 4 })).status, 200);
  assertEquals((await ask()).body.servers[0], { address: A, weight: 4, ttl: 10_000, age: 400, idle: 0 });
});

Deno.test("registry: ?service= lists the servers that offer it", async () => {
  const { ask, post, postHeader } = open();
  await post({ address: A, services: ["Foo", "Bar"] });
  await post({ address: B, services: ["Bar"] });
  await postHeader("tcp@127.0.0.1:3");
  const list = async (service: string) =>
    (await ask({}, `${REGISTRY_URL}?service=${service}`)).headers.get("X-Rpc-Servers");
  assertEquals([await list("Foo"), await list("Bar"), await list("constructor")], [A, `${A},${B}`, ""]);
});

Deno.test("registry: ttl is the requested one, within bounds; 0 never expires", async () => {
  const { clock, post, addresses } = open({ ttl: 100, maxTtl: 1_000 });
  assertEquals((await post({ address: A })).body.ttl, 100);
  assertEquals((await post({ address: A, ttl: 5_000 })).body.ttl, 1_000);
  assertEquals((await post({ address: B, ttl: 0 })).body.ttl, 0);
  await clock.advance(1_000_000);
  assertEquals(await addresses(), B);
  for (const ttl of [-1, 0.5, "100", null, {}]) {
    const { status, body } = await post({ address: A, ttl });
    assertEquals([status, body.error.code], [400, "invalid_argument"]);
  }
  const forever = open({ ttl: 0 });
  await forever.postHeader(A);
  await forever.clock.advance(1_000_000);
  assertEquals(await forever.addresses(), A);
});

Deno.test("registry: DELETE takes the address from header, query or JSON", async () => {
  const { ask, postHeader, addresses } = open();
  const ways: [RequestInit, string?][] = [
    [{ method: "DELETE", headers: { "X-Rpc-Server": A } }],
    [{ method: "DELETE" }, `${REGISTRY_URL}?address=${encodeURIComponent(A)}`],
    [{ method: "DELETE", body: JSON.stringify({ address: A }) }],
  ];
  for (const [init, url] of ways) {
    await postHeader(A);
    assertEquals((await ask(init, url)).status, 204);
    assertEquals(await addresses(), "");
  }
  const missing = await ask({ method: "DELETE" });
  assertEquals([missing.status, missing.body.error.code], [400, "invalid_argument"]);
});

Deno.test("registry: other methods are 405 with Allow, other paths 404 with the path", async () => {
  const { ask } = open();
  for (const method of ["PUT", "PATCH", "OPTIONS"]) {
    const { status, headers, body } = await ask({ method });
    assertEquals([status, headers.get("allow"), body.error.code], [
      405,
      "GET, HEAD, POST, DELETE",
      "unimplemented",
    ]);
  }
  for (const path of ["/index.html", "/_rpc_", "/_rpc_/registry/", "/_rpc_/registry/x", "/_RPC_/registry"]) {
    const { status, body } = await ask({}, `http://registry.test${path}`);
    assertEquals([status, body.error.code], [404, "not_found"]);
    assertStringIncludes(body.error.message, `Nothing at "${path}"`);
  }
  const long = await ask({}, `http://registry.test/${"x".repeat(10_000)}`);
  assertEquals([long.status, long.body.error.message.length < 200], [404, true]);
});

Deno.test("registry: a list that is too long for a header is left out of it entirely", async () => {
  const { ask, post } = open();
  // 17 characters each and the commas between them.
  for (let i = 0; i < 113; i++) await post({ address: `tcp@10.0.0.1:${1_000 + i}` });
  assertEquals((await ask()).headers.get("X-Rpc-Servers")?.length, 113 * 18 - 1);
  await post({ address: "tcp@10.0.0.1:999" });
  assertEquals((await ask()).headers.get("X-Rpc-Servers-Omitted"), "114");
  for (let i = 0; i < 500; i++) await post({ address: `tcp@10.0.0.1:${10_000 + i}` });
  const { headers, body } = await ask();
  assertEquals([headers.get("X-Rpc-Servers"), headers.get("X-Rpc-Servers-Omitted")], [null, "614"]);
  assertEquals(body.servers.length, 614);
});

Deno.test("registry: an address that no header can carry is still in the JSON list", async () => {
  const store = new MemoryStore();
  for (const address of [A, "unix@/tmp/日"]) await store.grant({ address }, 0);
  const { status, headers, body } = await open({ store }).ask();
  assertEquals([status, headers.get("X-Rpc-Servers"), body.servers.length], [200, A, 2]);
});

Deno.test("registry: hostile registrations are refused with a reason, and change nothing", async () => {
  const { post, postHeader, addresses } = open();
  await postHeader(A);
  const bad: unknown[] = [
    "nonsense",
    '{"address":',
    "[]",
    "null",
    '"tcp@127.0.0.1:9"',
    "{}",
    "[".repeat(60_000),
    { address: "constructor" },
    { address: "__proto__" },
    { address: 7 },
    { address: "tcp@127.0.0.1:0" },
    { address: "tcp@127.0.0.1:70000" },
    { address: "tcp@127.0.0.1:9\r\nX-Evil: 1" },
    { address: "tcp@a:1,tcp@b:1" },
    { address: "unix@/tmp/ü" },
    { address: `http@a:1/${"x".repeat(300)}` },
    { address: "tcp@127.0.0.1:9", services: "Foo" },
    { address: "tcp@127.0.0.1:9", services: ["<b>\u0000"] },
    { address: "tcp@127.0.0.1:9", services: Array.from({ length: 65 }, (_, i) => `S${i}`) },
    { address: "tcp@127.0.0.1:9", weight: -1 },
    { address: "tcp@127.0.0.1:9", metadata: { a: "x".repeat(5_000) } },
  ];
  for (const value of bad) {
    const { status, body } = await post(value);
    assertEquals([status, body.error.code], [400, "invalid_argument"], JSON.stringify(value).slice(0, 80));
    assertMatch(body.error.message, /^Cannot .{10,180}$/);
  }
  for (const header of ["", "foo", `${A}, ${B}`, "tcp@127.0.0.1:0"]) {
    assertEquals((await postHeader(header)).status, 400);
  }
  assertEquals(await addresses(), A);
});

Deno.test("registry: the address must be given exactly once", async () => {
  const { ask, addresses } = open();
  for (const init of [{ method: "POST" }, { method: "POST", body: "" }]) {
    assertEquals((await ask(init)).status, 400);
  }
  const both = await ask({
    method: "POST",
    headers: { "X-Rpc-Server": A },
    body: JSON.stringify({ address: B }),
  });
  assertEquals(both.status, 400);
  const empty = await ask({ method: "POST", headers: { "X-Rpc-Server": A }, body: "" });
  assertEquals([empty.status, await addresses()], [201, A]);
});

Deno.test("registry: a body over 64 KiB is 413, declared or not, and is not read to its end", async () => {
  const { ask, post } = open();
  assertEquals((await post({ address: A, metadata: { a: "x".repeat(1 << 20) } })).status, 413);
  assertEquals(
    (await post({ address: A, services: Array.from({ length: 100_000 }, () => "S") })).status,
    413,
  );
  let chunks = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      chunks++;
      controller.enqueue(new Uint8Array(16_384));
    },
  });
  const endless = await ask({ method: "POST", body });
  assertEquals([endless.status, endless.body.error.code, chunks < 10], [413, "resource_exhausted", true]);
});

Deno.test("registry: a body that does not arrive is 408, one that breaks off or is not UTF-8 does no harm", async () => {
  const { clock, ask } = open();
  let canceled = false;
  const stalled = new ReadableStream<Uint8Array>({ cancel: () => void (canceled = true) });
  const answer = ask({ method: "POST", body: stalled });
  await settle();
  await clock.advance(5_000);
  assertEquals([(await answer).status, canceled, clock.timers], [408, true, 0]);
  assertEquals((await ask({ method: "POST", body: new Uint8Array([0x7b, 0xff]) })).status, 400);
  const broken = new ReadableStream<Uint8Array>({
    start: (controller) => controller.error(new Error("reset")),
  });
  assertEquals((await ask({ method: "POST", body: broken })).status, 400);
});

Deno.test("registry: pages of other origins change nothing", async () => {
  const { ask, addresses } = open();
  const postFrom = (origin: string) =>
    ask({ method: "POST", headers: { origin }, body: JSON.stringify({ address: A }) });
  for (const origin of ["http://evil.test", "null", "http://registry.test:81"]) {
    const { status, body } = await postFrom(origin);
    assertEquals([status, body.error.code], [403, "permission_denied"]);
    assertEquals((await ask({ method: "DELETE", headers: { origin, "X-Rpc-Server": A } })).status, 403);
  }
  assertEquals(await addresses(), "");
  assertEquals((await postFrom("http://registry.test")).status, 201);
  // A proxy has replaced the Host, but the browser knows that the page is one of the registry's own.
  const pause = (site: string) =>
    ask(
      { method: "POST", headers: { origin: "https://public.test", "sec-fetch-site": site } },
      `http://registry.test/_rpc_/registry?address=${A}&state=paused`,
    );
  for (const site of ["same-site", "cross-site", "none", ""]) assertEquals((await pause(site)).status, 403);
  assertEquals((await pause("same-origin")).status, 200);
});

Deno.test("registry: a full store is 429, an unreachable one 503, one that throws 500 and is logged", async () => {
  const full = open({ store: new MemoryStore({ maxInstances: 1 }) });
  await full.postHeader(A);
  const refused = await full.postHeader(B);
  assertEquals([refused.status, refused.body.error.code], [429, "resource_exhausted"]);
  assertEquals((await full.postHeader(A)).status, 200);

  const failing = (error: Error) => {
    const lines: string[] = [];
    const store = new MemoryStore();
    store.list = () => Promise.reject(error);
    return { lines, ask: open({ store, log: (line) => lines.push(line) }).ask };
  };
  const away = failing(new RpcError("unavailable", "The store is away"));
  assertEquals([(await away.ask()).status, away.lines], [503, []]);
  const broken = failing(new Error("secret"));
  const { status, body } = await broken.ask();
  assertEquals([status, body], [500, { error: { code: "internal", message: "The registry failed" } }]);
  assertEquals(broken.lines, ["registry: GET failed: Error: secret"]);
});

Deno.test("registry: closing twice is fine, and closes it for all clients", async () => {
  const { registry, ask } = open();
  await registry.close();
  await registry.close();
  await registry[Symbol.asyncDispose]();
  assertEquals((await ask()).status, 503);
});

Deno.test("registry: invalid options are refused", () => {
  for (const ttl of [-1, NaN, Infinity, 3_600_001]) {
    assertThrows(() => new Registry({ ttl }), RangeError, "ttl");
  }
  assertThrows(() => new Registry({ maxTtl: 0 }), RangeError, "maxTtl");
  assertThrows(() => new Registry({ ttl: "1" as unknown as number }), TypeError, 'ttl "1"');
});

Deno.test("registry: by Deno.serve, HEAD has the head of GET, and clients that stall or break off disturb no other", async () => {
  await using registry = new Registry();
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
  const { port } = server.addr;
  const url = `http://127.0.0.1:${port}/_rpc_/registry`;
  const stalled = await Deno.connect({ hostname: "127.0.0.1", port });
  const broken = await Deno.connect({ hostname: "127.0.0.1", port });
  const head = "POST /_rpc_/registry HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{";
  for (const conn of [stalled, broken]) await conn.write(new TextEncoder().encode(head));
  broken.close();

  const posted = await fetch(url, { method: "POST", body: JSON.stringify({ address: A }) });
  assertEquals([posted.status, await posted.json()], [201, { address: A, ttl: 10_000, age: 0 }]);
  const asked = await fetch(url, { method: "HEAD" });
  assertEquals([asked.status, asked.headers.get("X-Rpc-Servers"), await asked.text()], [200, A, ""]);
  const big = await fetch(url, { method: "POST", body: "x".repeat(1 << 20) });
  assertEquals([big.status, (await big.json()).error.code], [413, "resource_exhausted"]);
  stalled.close();
  await assertRejects(() => stalled.write(new Uint8Array(1)));
});

Deno.test("registry: a ttl that is not a safe number is refused", async () => {
  const { post, addresses } = open();
  for (const ttl of ["1e999", "-1e999"]) {
    assertEquals((await post(`{"address":"${A}","ttl":${ttl}}`)).status, 400);
  }
  assertEquals(await addresses(), "");
});
