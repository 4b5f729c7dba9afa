// Calls over HTTP are calls like any other: interceptors, identities, limits, statistics and shutting down hold for them.

import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  type CallContext,
  oneOfTokens,
  requireToken,
  type RpcError,
  Server,
  type ServerOptions,
} from "../../server/mod.ts";
import { connect } from "../../client/mod.ts";
import { web, type WebOptions } from "../../web/mod.ts";
import { until } from "../support/waiting.ts";
import { ProbeDoor } from "./probe.ts";

/** A server with one plain service, S, and a door to it. */
class Served implements AsyncDisposable {
  readonly server: Server;
  readonly log: string[] = [];
  readonly #http: Deno.HttpServer<Deno.NetAddr>;

  constructor(
    methods: object,
    options: ServerOptions = {},
    webOptions: WebOptions = {},
    setUp?: (s: Server) => void,
  ) {
    const log = (message: string) => void this.log.push(message);
    this.server = new Server({ log, ...options }).register("S", methods);
    setUp?.(this.server);
    this.#http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, web(this.server, webOptions));
  }

  get url(): string {
    return `http://127.0.0.1:${this.#http.addr.port}`;
  }

  async call(path: string, body: unknown = {}, headers: Record<string, string> = {}, signal?: AbortSignal) {
    const response = await fetch(this.url + path, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
      signal,
    });
    return { status: response.status, headers: response.headers, json: await response.json() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close();
    await this.#http.shutdown();
    // The door looks at requests once more a turn later.
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

const wait = (_: unknown, { signal }: CallContext) =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

Deno.test("web: a method without a contract takes and returns any JSON", async () => {
  await using served = new Served({
    greet: (name: string) => `Hello, ${name}!`,
    nothing() {},
    none: () => null,
  });
  assertEquals((await served.call("/S/greet", "Bob")).json, "Hello, Bob!");
  assertEquals((await served.call("/S/nothing")).json, {});
  assertEquals((await served.call("/S/none")).json, null);
});

Deno.test("web: interceptors see the call, its headers as metadata, its peer and its deadline", async () => {
  const seen: unknown[] = [];
  await using served = new Served({ get: () => 1 }, {}, {}, (server) =>
    server.use((call, next) => {
      const left = call.deadline - performance.now();
      seen.push([
        call.method,
        call.args,
        [...call.metadata.keys()],
        call.metadata.get("x-one"),
        left > 0 && left <= 5_000,
      ]);
      assertMatch(call.peer!, /^tcp@127\.0\.0\.1:\d+$/);
      return next(call);
    }));
  await served.call("/S/get", [1], { "x-one": "1", "connect-timeout-ms": "5000" });
  assertEquals(seen, [["S.get", [1], ["user-agent", "x-one"], "1", true]]);
});

Deno.test("web: interceptors see calls of unknown methods, and may answer them", async () => {
  const methods: string[] = [];
  await using served = new Served({ get: () => 1 }, {}, {}, (server) =>
    server.use(async (call, next) => {
      methods.push(call.method);
      return call.method === "S.other" ? { value: "answered", metadata: new Map() } : await next(call);
    }));
  assertEquals((await served.call("/S/other")).json, "answered");
  const { status, json } = await served.call("/S/gone");
  assertEquals([status, json], [404, { code: "unimplemented", message: 'Service "S" has no method "gone"' }]);
  assertEquals(methods, ["S.other", "S.gone"]);
});

Deno.test("web: authenticate receives the bearer token of each request, and names the caller", async () => {
  const log: string[] = [];
  await using served = new Served({ who: (_: unknown, { peer }: CallContext) => peer.identity }, {
    authenticate: (token) => token === "alice's" && { name: "alice" },
    log: (message) => void log.push(message),
  });
  const right = await served.call("/S/who", {}, { authorization: "Bearer alice's" });
  assertEquals([right.status, right.json], [200, { name: "alice" }]);
  for (const authorization of ["Bearer bob's", "Basic YTpi", ""]) {
    const wrong = await served.call("/S/who", {}, { authorization });
    assertEquals([wrong.status, wrong.json.code, wrong.headers.get("www-authenticate")], [
      401,
      "unauthenticated",
      "Bearer",
    ]);
  }
  // Names of methods are not shown to those who may not call.
  assertEquals((await served.call("/S/gone")).status, 401);
  assertEquals(log.filter((line) => line.includes("alice's")), []);
});

Deno.test("web: a token for the calls of an interceptor is the header, too", async () => {
  await using served = new Served(
    { get: () => 1 },
    {},
    {},
    (server) => server.use(requireToken(oneOfTokens(["secret"]))),
  );
  assertEquals((await served.call("/S/get", {}, { authorization: "Bearer secret" })).status, 200);
  assertEquals((await served.call("/S/get")).status, 401);
});

Deno.test("web: a handler cannot call back", async () => {
  await using served = new Served({
    ask: (_: unknown, { peer }: CallContext) => peer.call("Screen.show"),
  });
  const { status, json } = await served.call("/S/ask");
  assertEquals([status, json.code], [400, "failed_precondition"]);
});

Deno.test("web: calls are in statistics, in the snapshot while they run, and on the page", async () => {
  await using served = new Served({ get: () => 1, wait });
  await served.call("/S/get");
  const leaving = new AbortController();
  const waiting = served.call("/S/wait", {}, {}, leaving.signal).catch(() => {});
  await until(() => served.server.stats().inFlight === 1, "the call to run");
  const { calls, methods } = served.server.snapshot();
  assertEquals(calls.list.map(({ method }) => method), ["S.wait"]);
  assertEquals(methods.map(({ method, calls }) => [method, calls]), [["S.get", 1], ["S.wait", 1]]);
  const page = await (await fetch(`${served.url}/debug/rpc`)).text();
  assertStringIncludes(page, "S.wait");
  const metrics = await (await fetch(`${served.url}/metrics`)).text();
  assertStringIncludes(metrics, "S.get");
  leaving.abort();
  await waiting;
  await until(() => served.server.stats().inFlight === 0, "the end of the call");
});

Deno.test("web: a handler is aborted when its client leaves", async () => {
  const reasons: RpcError[] = [];
  await using served = new Served({
    async wait(_: unknown, context: CallContext) {
      await wait(_, context).catch((reason) => void reasons.push(reason));
    },
  });
  const leaving = new AbortController();
  const call = served.call("/S/wait", {}, {}, leaving.signal);
  await until(() => served.server.stats().inFlight === 1, "the call to run");
  // Left a turn later, so that the door has had time to watch it.
  await new Promise((resolve) => setTimeout(resolve, 10));
  leaving.abort();
  await assertRejects(() => call);
  await until(() => reasons.length === 1, "the abort");
  assertEquals(reasons[0]!.code, "canceled");
});

Deno.test("web: handleTimeout ends a call whose client sets no time limit", async () => {
  await using served = new Served({ wait }, { handleTimeout: 30 });
  const { status, json } = await served.call("/S/wait");
  assertEquals([status, json.code], [504, "deadline_exceeded"]);
});

Deno.test("web: the limits of a connection are those of a peer", async () => {
  await using served = new Served({ wait }, { maxInFlight: 16 });
  const leaving = new AbortController();
  const calls = Array.from(
    { length: 16 },
    () => served.call("/S/wait", {}, {}, leaving.signal).catch(() => {}),
  );
  await until(() => served.server.stats().inFlight === 16, "the calls to run");
  const { status, json } = await served.call("/S/wait");
  assertEquals([status, json.code], [429, "resource_exhausted"]);
  assertEquals(served.server.stats().limits.maxInFlight, 1);
  leaving.abort();
  await Promise.all(calls);
  await until(() => served.server.stats().inFlight === 0, "the end of the calls");
});

Deno.test("web: an answer that JSON cannot carry fails, and the log says why", async () => {
  await using served = new Served({ map: () => ({ m: new Map() }) });
  const { status, json } = await served.call("/S/map");
  assertEquals([status, json.code], [500, "internal"]);
  assertStringIncludes(json.message, "at .m as JSON: instances of Map are not supported");
  assertStringIncludes(served.log.join(), "Cannot send the result of S.map");
});

Deno.test("web: reply metadata is sent as a header and as a trailer, but for names on which HTTP, browsers or proxies act", async () => {
  await using served = new Served({
    get(_: unknown, { replyMetadata }: CallContext) {
      replyMetadata.set("cache-control", "max-age=60");
      replyMetadata.set("content-length", "7");
      replyMetadata.set("set-cookie", "a=b");
      replyMetadata.set("location", "https://evil.example/");
      replyMetadata.set("refresh", "0; url=https://evil.example/");
      replyMetadata.set("x-accel-redirect", "/private");
      return 1;
    },
  });
  const { headers } = await served.call("/S/get");
  assertEquals(headers.get("cache-control"), "max-age=60");
  assertEquals(headers.get("trailer-cache-control"), "max-age=60");
  assertEquals([headers.get("content-length"), headers.get("trailer-content-length")], ["1", "7"]);
  for (const name of ["set-cookie", "location", "refresh", "x-accel-redirect"]) {
    assertEquals([name, headers.has(name), headers.has(`trailer-${name}`)], [name, false, true]);
  }
});

Deno.test("web: reply metadata that a header cannot carry fails the call", async () => {
  await using served = new Served({
    get(_: unknown, { replyMetadata }: CallContext) {
      replyMetadata.set("x-bad", "a\r\nx-injected: 1");
    },
  });
  const { status, json, headers } = await served.call("/S/get");
  assertEquals([status, json.code, headers.get("x-injected")], [500, "internal", null]);
});

Deno.test("web: HEAD of a read-only method is answered like GET, without the body", async () => {
  await using door = new ProbeDoor();
  const path = `${door.url}/vectors.v1.Probe/look?encoding=json&message=${encodeURIComponent('{"a":1}')}`;
  const [get, head] = [await fetch(path), await fetch(path, { method: "HEAD" })];
  const length = (await get.text()).length;
  assertEquals(await head.text(), "");
  assertEquals([head.status, head.headers.get("content-type")], [200, get.headers.get("content-type")]);
  assertEquals(head.headers.get("content-length"), String(length));
  const refused = await fetch(path.replace("look", "sum"), { method: "HEAD" });
  await refused.body?.cancel();
  assertEquals([refused.status, refused.headers.get("allow")], [405, "POST"]);
});

Deno.test("web: paths have a prefix if there is one", async () => {
  await using served = new Served({ get: () => 1 }, {}, { prefix: "/api/v1" });
  assertEquals((await served.call("/api/v1/S/get")).json, 1);
  assertEquals((await served.call("/S/get")).status, 404);
});

Deno.test("web: a name is written in a path in one way only", async () => {
  await using served = new Served({ "größe": () => 1, $get: () => 2 });
  assertEquals((await served.call("/S/größe")).json, 1);
  assertEquals((await served.call("/S/$get")).json, 2);
  assertEquals((await served.call("/S/%24get")).status, 404);
});

Deno.test("web: a WebSocket connects by the same port", async () => {
  await using served = new Served({ get: () => 1 });
  await using client = await connect(served.url.replace("http://", "ws@") + "/_rpc_");
  assertEquals(await client.call("S.get"), 1);
});

Deno.test("web: without information about the peer, as other runtimes' adapters call it, calls are answered", async () => {
  await using server = new Server().register("S", {
    peer: (_: unknown, { peer }: CallContext) => peer.address,
  });
  const handler = web(server);
  const request = new Request("http://localhost/S/peer", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
  });
  assertEquals(await (await handler(request)).json(), "unknown");
  await new Promise((resolve) => setTimeout(resolve, 5));
});

Deno.test("web: shutting down waits for calls, refuses further ones, and fails health checks", async () => {
  const result = Promise.withResolvers<string>();
  await using served = new Served({ later: () => result.promise });
  assertEquals((await (await fetch(`${served.url}/healthz`)).json()).status, "serving");
  const call = served.call("/S/later");
  await until(() => served.server.stats().inFlight === 1, "the call to run");
  const end = served.server.shutdown();
  const refused = await served.call("/S/later");
  assertEquals([refused.status, refused.json.code], [503, "unavailable"]);
  const health = await fetch(`${served.url}/healthz`);
  assertEquals([health.status, await health.json()], [503, { status: "not_serving" }]);
  result.resolve("done");
  assertEquals((await call).json, "done");
  await end;
});

Deno.test("web: closing the server answers the calls that are in flight", async () => {
  await using served = new Served({ wait });
  const call = served.call("/S/wait");
  await until(() => served.server.stats().inFlight === 1, "the call to run");
  await served.server.close();
  const { status, json } = await call;
  assertEquals([status, json.code], [503, "unavailable"]);
});

Deno.test("web: a handler that closes its own server is answered for", async () => {
  await using served = new Served({
    close(this: void, _: unknown) {
      void served.server.close();
      return Promise.resolve(1);
    },
  });
  assertEquals((await served.call("/S/close")).status, 503);
});

Deno.test("web: health is that of the server or of a service, by call, by GET and by probe", async () => {
  await using served = new Served({ get: () => 1 });
  const probe = async (query = "") => {
    const response = await fetch(`${served.url}/healthz${query}`);
    return [response.status, (await response.json()).status];
  };
  assertEquals((await served.call("/rpc.Health/check", { service: "S" })).json, { status: "serving" });
  const got = await fetch(`${served.url}/rpc.Health/check?encoding=json&message={}`);
  assertEquals(await got.json(), { status: "serving" });
  served.server.setHealth("not_serving", "S");
  assertEquals([await probe(), await probe("?service=S")], [[200, "serving"], [503, "not_serving"]]);
  served.server.setHealth("not_serving");
  assertEquals(await probe(), [503, "not_serving"]);
  assertEquals(await probe("?service=T"), [404, undefined]);
  assertEquals((await served.call("/rpc.Health/check", { service: "T" })).json.code, "not_found");
  assertThrows(() => served.server.setHealth("not_serving", "T"), TypeError, 'there is no service "T"');
  assertThrows(() => served.server.setHealth("ill" as "serving"), TypeError, 'expected "serving"');
});

Deno.test("web: options are checked", () => {
  const server = new Server();
  assertThrows(() => web(server, { prefix: "api" }), TypeError, "Cannot use prefix");
  assertThrows(() => web(server, { prefix: "/api/" }), TypeError, "Cannot use prefix");
  assertThrows(() => web(server, { cors: ["app.example"] }), TypeError, "Cannot use cors");
  assertThrows(() => web(server, { cross: [] } as WebOptions), TypeError, 'unknown option "cross"');
  assertThrows(() => web({} as Server), TypeError, "expected a Server");
});

Deno.test("web: with cors of all origins any page may call", async () => {
  await using door = new ProbeDoor(undefined, { cors: "*" });
  const response = await door.post("sum", { a: 1 }, {
    origin: "https://any.example",
    "sec-fetch-site": "cross-site",
  });
  assertEquals([response.headers.get("access-control-allow-origin"), await response.json()], ["*", {
    sum: 1,
  }]);
  const options = await fetch(`${door.url}/vectors.v1.Probe/sum`, {
    method: "OPTIONS",
    headers: {
      origin: "https://any.example",
      "access-control-request-method": "POST",
      "access-control-request-headers": "x-mine",
    },
  });
  assertEquals(options.status, 204);
  assert(options.headers.get("access-control-allow-headers")!.includes("x-mine"));
});

Deno.test("web: authenticate that does not answer is given up, and refusals are counted", async () => {
  const server = new Server({
    handshakeTimeout: 200,
    authenticate: (token) => token === "slow" ? new Promise<boolean>(() => {}) : false,
  }).register("S", { ok: () => 1 });
  await using _server = server;
  const answer = web(server);
  const post = (token: string) =>
    answer(
      new Request("http://localhost/S/ok", {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: "{}",
      }),
    );
  const codes = [];
  for (const token of ["slow", "wrong"]) codes.push((await (await post(token)).json()).code);
  assertEquals(codes, ["deadline_exceeded", "unauthenticated"]);
  assertEquals(server.stats().refusals.unauthenticated, 2);
});

Deno.test("web: a server that shuts down does not wait for authenticate, and counts no refusal", async () => {
  const asked = Promise.withResolvers<void>();
  const authenticate = () => {
    asked.resolve();
    return new Promise<boolean>(() => {});
  };
  const server = new Server({ authenticate }).register("S", { ok: () => 1 });
  const post = () =>
    web(server)(
      new Request("http://localhost/S/ok", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: "{}",
      }),
    );
  const before = post();
  await asked.promise;
  await server.shutdown();
  for (const answer of [before, post()]) {
    const response = await answer;
    assertEquals([response.status, (await response.json()).code], [503, "unavailable"]);
  }
  assertEquals(server.stats().refusals.unauthenticated, 0);
});

Deno.test("web: a client that leaves during authenticate starts no handler", async () => {
  let started = 0;
  const verdict = Promise.withResolvers<boolean>();
  await using server = new Server({ authenticate: () => verdict.promise });
  server.register("S", { count: () => ++started });
  const left = new AbortController();
  const answer = web(server)(
    new Request("http://localhost/S/count", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
      signal: left.signal,
    }),
  );
  left.abort();
  // The door looks at the request's signal once authenticate has taken more than a turn.
  await new Promise((resolve) => setTimeout(resolve));
  verdict.resolve(true);
  assertEquals({ status: (await answer).status, started }, { status: 499, started: 0 });
});

Deno.test("web: the time limit of a client includes authenticate", async () => {
  let started = 0;
  const authenticate = () => new Promise<boolean>((resolve) => setTimeout(() => resolve(true), 10));
  await using served = new Served({ count: () => ++started }, { authenticate });
  const { status, json } = await served.call("/S/count", {}, { "connect-timeout-ms": "1" });
  assertEquals([status, json.code, started], [504, "deadline_exceeded", 0]);
});

Deno.test("web: an opaque origin is foreign whatever the Host is", async () => {
  await using server = new Server().register("S", { ok: () => 1 });
  const response = await web(server)(
    new Request("http://ll/S/ok", {
      method: "POST",
      headers: { origin: "null", "content-type": "application/json" },
      body: "{}",
    }),
  );
  assertEquals((await response.json()).code, "permission_denied");
});
