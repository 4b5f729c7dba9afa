// What a registry lets whom do: tokens, bounds on hostile registrations, states, incarnations over HTTP, and metrics.

import { assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { MemoryStore } from "../../registry/memory_store.ts";
import { Registry } from "../../registry/registry.ts";
import type { RegistryOptions } from "../../registry/registry_options.ts";
import { RawPeer } from "../support/raw_peer.ts";
import { REGISTRY_URL } from "../support/registry_link.ts";

const A = "tcp@127.0.0.1:1";
const B = "tcp@127.0.0.1:2";
const ORIGIN = new URL(REGISTRY_URL).origin;

function open(options: RegistryOptions = {}) {
  const registry = new Registry(options);
  const ask = async (method: string, query = "", body?: unknown, headers: Record<string, string> = {}) => {
    const url = query.startsWith("/") ? `${ORIGIN}${query}` : `${REGISTRY_URL}${query}`;
    const init = { method, headers, body: body === undefined ? undefined : JSON.stringify(body) };
    const response = await registry.fetch(new Request(url, init));
    const text = await response.text();
    const json = response.headers.get("content-type") === "application/json";
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: json ? JSON.parse(text) : undefined,
    };
  };
  return { registry, ask };
}

Deno.test("registry token: changes require it, whatever is wrong with the given one", async () => {
  const { ask } = open({ token: "secret" });
  const wrong = [
    undefined,
    "",
    "secret",
    "Bearer",
    "Bearer ",
    "Bearer Secret",
    "Bearer secre",
    "Bearer secret2",
  ]
    .map((authorization) => authorization === undefined ? {} : { authorization });
  const more = ["Basic secret", "Bearer secret secret", "Bearer \u00e4"].map((authorization) => ({
    authorization,
  }));
  for (const headers of [...wrong, ...more] as Record<string, string>[]) {
    for (const [method, query] of [["POST", ""], ["DELETE", ""], ["POST", "?state=paused"]] as const) {
      const { status, body, headers: answered } = await ask(method, query, { address: A }, headers);
      assertEquals([status, body.error.code], [401, "unauthenticated"], JSON.stringify(headers));
      assertEquals(answered.get("www-authenticate"), 'Bearer realm="registry"');
      assertEquals(body.error.message.includes("ecre"), false);
    }
  }
  assertEquals((await ask("GET")).body.servers, []);
  for (const authorization of ["Bearer secret", "bearer  secret"]) {
    assertEquals((await ask("POST", "", { address: A }, { authorization })).status < 300, true);
  }
  assertEquals((await ask("GET")).body.servers.length, 1);
  assertEquals(
    (await ask("DELETE", `?address=${A}`, undefined, { authorization: "Bearer secret" })).status,
    204,
  );
});

Deno.test("registry token: each of several is valid", async () => {
  const { ask } = open({ token: ["old", "new"] });
  for (const [token, status] of [["old", 200], ["new", 200], ["older", 401], ["oldnew", 401]] as const) {
    const { status: answered } = await ask("POST", "", { address: A }, { authorization: `Bearer ${token}` });
    assertEquals(answered === 201 ? 200 : answered, status, token);
  }
});

Deno.test("registry token: reads require it if so configured, the page without data does not", async () => {
  const { ask } = open({ token: "secret", protectReads: true });
  for (const query of ["", "?watch", "?all", "/metrics"]) {
    assertEquals((await ask("GET", query)).status, 401, query);
    if (query === "?watch") continue;
    assertEquals((await ask("GET", query, undefined, { authorization: "Bearer secret" })).status, 200, query);
  }
  assertEquals((await ask("HEAD")).status, 401);
  assertEquals((await ask("GET", "/")).status, 200);
});

Deno.test("registry token: a token that no header can carry is refused, and so is protectReads without one", () => {
  for (const token of ["", "a b", "ä", "a\n", 7 as unknown as string, [], ["a", "b c"]]) {
    assertThrows(() => new Registry({ token }), TypeError, "token");
  }
  assertThrows(() => new Registry({ protectReads: true }), TypeError, "protectReads without token");
});

Deno.test("registry bounds: each is refused by its name, and other servers are unaffected", async () => {
  const { ask } = open({
    maxServicesPerInstance: 2,
    maxNameLength: 8,
    maxMetadataBytes: 10,
    store: new MemoryStore({ maxInstances: 2, maxServices: 3 }),
  });
  const good = { address: A, services: ["12345678", "b"], version: "12345678", metadata: { abcde: "12345" } };
  assertEquals((await ask("POST", "", good)).status, 201);
  const bad: [Record<string, unknown>, number, string][] = [
    [{ services: ["a", "b", "c"] }, 400, "more than 2 services"],
    [{ services: ["123456789"] }, 400, "a service's name is longer than 8 characters"],
    [{ version: "123456789" }, 400, "its version is longer than 8 characters"],
    [{ version: 7 }, 400, "its version must be non-empty text"],
    [{ version: "a\u202eb" }, 400, "its version contains control or invisible characters"],
    [{ metadata: { abcde: "123456" } }, 400, "longer than 10 bytes"],
    [{ services: ["c", "d"] }, 429, "3 services (maxServices)"],
  ];
  for (const [more, status, message] of bad) {
    const answer = await ask("POST", "", { address: B, ...more });
    assertEquals(answer.status, status, message);
    assertStringIncludes(answer.body.error.message, message);
  }
  assertEquals((await ask("POST", "", { address: B })).status, 201);
  const third = await ask("POST", "", { address: "tcp@127.0.0.1:3" });
  assertEquals([third.status, third.body.error.code], [429, "resource_exhausted"]);
  const { servers } = (await ask("GET")).body;
  assertEquals(servers.map(({ address }: { address: string }) => address), [A, B]);
  assertEquals(servers[0].metadata, good.metadata);
});

Deno.test("registry bounds: names with markup are refused, the values of metadata are free", async () => {
  const { ask } = open();
  const markup = "<img src=x onerror=alert(1)>";
  const bad: Record<string, unknown>[] = [
    { address: "unix@/tmp/<b>" },
    { services: ["Foo", markup] },
    { version: "</script>" },
    { metadata: { [markup]: "x" } },
  ];
  for (const more of bad) {
    const { status, body } = await ask("POST", "", { address: A, ...more });
    assertEquals([status, body.error.code], [400, "invalid_argument"]);
    assertStringIncludes(body.error.message, "no name may contain < or >");
  }
  assertEquals((await ask("GET")).body.servers, []);
  assertEquals((await ask("POST", "", { address: A, metadata: { needs: "<2.0" } })).status, 201);
});

Deno.test("registry bounds: the number of service names is limited", async () => {
  const { ask } = open();
  let refused = 0;
  for (let i = 0; i < 100_000; i += 50) {
    const services = Array.from({ length: 50 }, (_, n) => `Service${i + n}`);
    const { status } = await ask("POST", "", { address: `tcp@10.0.0.1:${1 + i / 50}`, services });
    if (status === 429) refused++;
  }
  assertEquals(refused, 2_000 - 20);
  assertEquals((await ask("GET")).body.servers.length, 20);
  const metrics = (await ask("GET", "/metrics")).text;
  assertEquals(metrics.match(/^registry_service_instances\{/gm)?.length, 1_000);
});

Deno.test("registry bounds: options above the maximum are refused", () => {
  const bad: RegistryOptions[] = [
    { maxServicesPerInstance: 65 },
    { maxNameLength: 0 },
    { maxNameLength: 129 },
    { maxMetadataBytes: 4097 },
    { maxMetadataBytes: 1.5 },
    { maxWatchers: 0 },
  ];
  for (const options of bad) assertThrows(() => new Registry(options), RangeError, Object.keys(options)[0]);
});

Deno.test("registry: servers can be paused, drained and resumed, and only those that accept calls are listed", async () => {
  const { ask } = open();
  for (const address of [A, B]) await ask("POST", "", { address, services: ["Foo"] });
  const paused = await ask("POST", `?state=paused&address=${A}`);
  assertEquals([paused.status, paused.body.state], [200, "paused"]);
  const listed = async () => {
    const { headers, body } = await ask("GET");
    assertEquals(
      headers.get("x-rpc-servers"),
      body.servers.map((s: { address: string }) => s.address).join(","),
    );
    return headers.get("x-rpc-servers");
  };
  assertEquals(await listed(), B);
  const all = (await ask("GET", "?all")).body.servers;
  assertEquals(all.map(({ state }: { state: string }) => state), ["paused", "active"]);
  assertEquals(
    (await ask("POST", "?state=draining", undefined, { "x-rpc-server": B })).body.state,
    "draining",
  );
  assertEquals(await listed(), "");
  // Heartbeats do not bring it back.
  await ask("POST", "", undefined, { "x-rpc-server": A });
  await ask("POST", "", { address: B, services: ["Foo"] });
  assertEquals(await listed(), "");
  assertEquals((await ask("POST", "?state=active", { address: A })).body.state, "active");
  assertEquals(await listed(), A);
  assertEquals((await ask("POST", "?state=paused&address=tcp@10.0.0.1:1")).status, 404);
  for (const state of ["", "gone", "constructor", "Active"]) {
    assertEquals((await ask("POST", `?state=${state}&address=${A}`)).status, 400);
  }
  assertEquals((await ask("POST", "?state=paused")).status, 400);
  const foreign = await ask("POST", `?state=paused&address=${A}`, undefined, { origin: "http://evil.test" });
  assertEquals(foreign.status, 403);
});

Deno.test("registry: incarnations over HTTP, in JSON as in headers", async () => {
  const { ask } = open();
  const first = await ask("POST", "", { address: A, incarnation: 0 });
  assertEquals([first.status, first.body.state], [201, "active"]);
  const second = await ask("POST", "", { address: A, incarnation: 0, weight: 2 });
  assertEquals([second.status, second.body.incarnation > first.body.incarnation], [200, true]);
  const old = { "x-rpc-incarnation": String(first.body.incarnation) };
  const now = { "x-rpc-incarnation": String(second.body.incarnation) };
  const server = { "x-rpc-server": A };
  const late = await ask("POST", "", undefined, { ...server, ...old });
  assertEquals([late.status, late.body.error.code], [409, "aborted"]);
  assertEquals((await ask("POST", "", { address: A, incarnation: first.body.incarnation })).status, 409);
  assertEquals((await ask("DELETE", "", undefined, { ...server, ...old })).status, 409);
  assertEquals((await ask("DELETE", "", { address: A, incarnation: first.body.incarnation })).status, 409);
  const beat = await ask("POST", "", undefined, { ...server, ...now });
  assertEquals([beat.status, beat.body.incarnation], [200, second.body.incarnation]);
  assertEquals((await ask("GET")).body.servers[0].weight, 2);
  assertEquals((await ask("DELETE", "", undefined, { ...server, ...now })).status, 204);
  const gone = await ask("POST", "", undefined, { ...server, ...now });
  assertEquals([gone.status, gone.body.error.code], [404, "not_found"]);
  assertEquals((await ask("GET")).body.servers, []);
  for (const incarnation of [-1, 1.5, "x", true, {}, "99999999999999999"]) {
    assertEquals((await ask("POST", "", { address: A, incarnation })).status, 400);
  }
});

Deno.test("registry: metrics in the text format of Prometheus", async () => {
  const { ask } = open();
  await ask("POST", "", { address: A, services: ['a"b\\c', "Foo"] });
  await ask("POST", "", { address: B, services: ["Foo"] });
  await ask("POST", `?state=draining&address=${B}`);
  await ask("PURGE");
  const { status, headers, text } = await ask("GET", "/metrics");
  assertEquals([status, headers.get("content-type")], [200, "text/plain; version=0.0.4; charset=utf-8"]);
  for (const line of text.trimEnd().split("\n")) {
    assertMatch(
      line,
      /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z]+="([^"\\]|\\.)*"(,[a-z]+="\w+")*\})? \d+)$/,
    );
  }
  for (
    const line of [
      'registry_instances{state="active"} 1',
      'registry_instances{state="draining"} 1',
      'registry_service_instances{service="a\\"b\\\\c"} 1',
      'registry_service_instances{service="Foo"} 1',
      'registry_requests_total{method="POST",status="201"} 2',
      'registry_requests_total{method="other",status="405"} 1',
    ]
  ) assertStringIncludes(text, `\n${line}\n`);
  assertEquals((await ask("POST", "/metrics")).status, 405);
});

Deno.test("registry: the Host header is not part of the path, and an invalid one gets 400", async () => {
  await using registry = new Registry();
  await using web = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
  const statusOf = async (target: string, host: string) => {
    using peer = await RawPeer.dial(web.addr.port);
    await peer.send(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    return Number((await peer.text()).split(" ", 2)[1]);
  };
  for (const host of ["x/metrics?", "x#", "[::1", "a b", "x:99999", "a@b"]) {
    assertEquals(await statusOf("/nothing", host), 400, host);
  }
  for (const target of ["/a/../metrics", "/%2e/metrics", "http://x/a/../metrics"]) {
    assertEquals(await statusOf(target, "x"), 400, target);
  }
  assertEquals([await statusOf("/metrics?x", "x:80"), await statusOf("/x/metrics", "[::1]")], [200, 404]);
});
