// announce() where something goes wrong between a server and its registry: redirects, proxies that answer in its place,
// tokens that are replaced, and states that the registry has forgotten.

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import type { Endpoint } from "../../discovery/endpoint.ts";
import type { Fetch } from "../../discovery/registry_request.ts";
import { RegistryDiscovery } from "../../discovery/registry_discovery.ts";
import { connect } from "../../client/connect.ts";
import { announce, type AnnounceOptions } from "../../registry/announce.ts";
import { MemoryStore } from "../../registry/memory_store.ts";
import { Registry } from "../../registry/registry.ts";
import type { RegistryOptions } from "../../registry/registry_options.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";

const ADDRESS = "tcp@127.0.0.1:1";
const OTHER = "tcp@127.0.0.1:2";

/** Registries of one store by their hosts, and what may answer in their place. */
function open(hosts = ["one.test"], options: RegistryOptions = {}) {
  const clock = new FakeClock();
  let store = options.store ?? new MemoryStore({ clock });
  let registry = new Registry({ clock, store, ...options });
  const requests: string[] = [];
  const lines: string[] = [];
  let underWay = 0;
  let answer: (request: Request) => Response | undefined = () => undefined;
  const fetch: Fetch = async (url, init) => {
    const request = new Request(url, init);
    requests.push(`${request.method} ${new URL(url).hostname}`);
    underWay++;
    try {
      return answer(request) ?? await registry.fetch(request);
    } finally {
      underWay--;
    }
  };
  /** Lets time pass, in steps: a registry that compares tokens takes time of its own to answer. */
  const pass = async (ms: number) => {
    for (let step = 0; step < ms; step += 100) {
      await clock.advance(Math.min(100, ms - step));
      while (underWay > 0) await settle();
    }
  };
  return {
    clock,
    pass,
    fetch,
    requests,
    lines,
    get store() {
      return store;
    },
    answerWith: (own: typeof answer) => void (answer = own),
    restart(changed: RegistryOptions = options) {
      store = new MemoryStore({ clock });
      registry = new Registry({ clock, store, ...changed });
    },
    start: (more: AnnounceOptions = {}, address = ADDRESS) =>
      announce(hosts.map((host) => `http://${host}`), { address }, {
        clock,
        fetch,
        random: () => 0,
        log: (line) => lines.push(line),
        ...more,
      }),
    states: async () => (await store.list()).leases.map(({ state }) => state),
  };
}

for (const status of [301, 302, 303, 307, 308]) {
  Deno.test(`announce: a redirect by ${status} within the origin keeps the method and the body`, async () => {
    const { clock, start, requests, answerWith, states } = open();
    answerWith((request) => {
      const url = new URL(request.url);
      if (url.searchParams.has("there")) return undefined;
      return new Response(null, { status, headers: { location: `${url.pathname}?there` } });
    });
    const registration = await start({ ttl: 3_000 });
    assertEquals(await states(), ["active"]);
    await clock.advance(10_000);
    assertEquals(await states(), ["active"]);
    await registration.close();
    assertEquals([await states(), requests.some((line) => line.startsWith("GET"))], [[], false]);
  });

  Deno.test(`announce: a redirect by ${status} to another origin is refused, and the error names it`, async () => {
    const { start, answerWith, states } = open();
    answerWith(() =>
      new Response(null, { status, headers: { location: "https://two.test/_rpc_/registry?x=secret" } })
    );
    const error = await assertRejects(
      () => start({ token: "secret" }),
      RpcError,
      "https://two.test/_rpc_/registry",
    );
    assertEquals([error.code, error.message.includes("secret"), await states()], [
      "failed_precondition",
      false,
      [],
    ]);
  });
}

Deno.test("announce: a redirect that never ends is refused", async () => {
  const { start, requests, answerWith } = open();
  answerWith(() => new Response(null, { status: 302, headers: { location: "/again" } }));
  await assertRejects(() => start(), RpcError, "it redirects to http://one.test/again");
  assertEquals(requests.length, 6);
});

Deno.test("announce: an answer that does not name the server is not taken for a registration", async () => {
  const { start, answerWith } = open();
  // The list, as a GET would get it.
  answerWith(() => Response.json({ revision: 1, ttl: 10_000, servers: [] }));
  await assertRejects(() => start(), RpcError, "its response is not that of a registry (status 200)");
});

Deno.test("announce: a proxy that asks for credentials is distinguished from an unreachable registry", async () => {
  for (
    const [status, code] of [[401, "unauthenticated"], [403, "permission_denied"], [
      404,
      "failed_precondition",
    ]]
  ) {
    const { start, answerWith } = open();
    answerWith(() => new Response("<html>", { status: status as number }));
    assertEquals((await assertRejects(() => start(), RpcError)).code, code);
  }
});

const inItsPlace: Record<string, () => Response> = {
  "500": () => new Response("<html>", { status: 500 }),
  "502": () => new Response("<html>", { status: 502 }),
  "503": () => new Response("<html>", { status: 503 }),
  "504": () => new Response("<html>", { status: 504 }),
  "404": () => new Response("<html>", { status: 404 }),
  "404 of another registry": () =>
    Response.json({ error: { code: "not_found", message: "No" } }, { status: 404 }),
  "429 of a proxy": () => new Response("slow down", { status: 429 }),
  "403 of a proxy": () => Response.json({ message: "Forbidden" }, { status: 403 }),
  "a page with 200": () => new Response("<html>"),
  "a redirect to another origin": () => Response.redirect("http://three.test/"),
  "a token that it does not know": () =>
    Response.json({ error: { code: "unauthenticated", message: "wrong" } }, { status: 401 }),
};
for (const [what, answer] of Object.entries(inItsPlace)) {
  Deno.test(`several registries: ${what} instead of one leads to the next`, async () => {
    const { clock, start, store, answerWith, fetch, states } = open(["one.test", "two.test"]);
    const dead = (request: Request) => new URL(request.url).hostname === "one.test" ? answer() : undefined;
    answerWith(dead);
    await using late = await start({ ttl: 3_000 });
    assertEquals((await store.list()).leases.length, 1);
    answerWith(() => undefined);
    // One that talks to the first one when it dies.
    await using early = await start({ ttl: 3_000 }, OTHER);
    answerWith(dead);
    for (let i = 0; i < 20; i++) {
      await clock.advance(500);
      assertEquals((await states()).length, 2);
    }
    assertEquals([late.failure, early.failure], [undefined, undefined]);
    const discovery = new RegistryDiscovery(["http://one.test", "http://two.test"], {
      clock,
      fetch,
      random: () => 0,
    });
    assertEquals((await discovery.endpoints()).length, 2);
    const watch = discovery.watch()[Symbol.asyncIterator]();
    assertEquals((await watch.next()).value?.length, 2);
    await watch.return?.();
    // Taking off finds its way, too.
    await early.close();
    assertEquals((await states()).length, 1);
  });
}

Deno.test("several registries: a server that one of them has forgotten registers again while the other is away", async () => {
  const { clock, start, restart, answerWith, states } = open(["one.test", "two.test"]);
  await using _registration = await start({ ttl: 3_000 });
  answerWith((request) =>
    new URL(request.url).hostname === "two.test" ? new Response("<html>", { status: 502 }) : undefined
  );
  restart();
  await clock.advance(1_200);
  assertEquals(await states(), ["active"]);
});

for (const state of ["paused", "draining"] as const) {
  Deno.test(`announce: a server that is ${state} stays so when its lease expires, and when the registry restarts`, async () => {
    const opened = open();
    const { clock, start, restart, answerWith, states } = opened;
    let drains = 0;
    await using _registration = await start({ ttl: 3_000, onDrain: () => void drains++ });
    await opened.store.setState(ADDRESS, state);
    await clock.advance(1_500);
    answerWith(() => new Response("<html>", { status: 502 }));
    await clock.advance(5_000);
    assertEquals(await states(), []);
    answerWith(() => undefined);
    await clock.advance(1_500);
    assertEquals(await states(), [state]);
    restart();
    await clock.advance(1_500);
    assertEquals([await states(), drains], [[state], state === "draining" ? 1 : 0]);
    // Resumed is resumed.
    await opened.store.setState(ADDRESS, "active");
    await clock.advance(1_500);
    restart();
    await clock.advance(1_500);
    assertEquals(await states(), ["active"]);
  });
}

Deno.test("announce: a server that was paused while it was silent is paused when it is back", async () => {
  const { clock, start, store, answerWith, states } = open();
  await using registration = await start({ ttl: 3_000 });
  answerWith(() => new Response("<html>", { status: 502 }));
  await clock.advance(1_500);
  await store.setState(ADDRESS, "paused");
  await clock.advance(5_000);
  assertEquals(await states(), []);
  answerWith(() => undefined);
  await clock.advance(1_500);
  assertEquals([await states(), registration.failure], [["paused"], undefined]);
});

Deno.test("announce: a restarted server begins active, whatever its state was before", async () => {
  const { start, store, states } = open();
  const first = await start();
  await store.setState(ADDRESS, "paused");
  await first.close();
  await using _second = await start();
  assertEquals(await states(), ["active"]);
});

const failsOnce: Record<string, () => Response> = {
  "429": () => new Response("<html>", { status: 429 }),
  "500": () => new Response("<html>", { status: 500 }),
  "502": () => new Response("<html>", { status: 502 }),
  "404 of a proxy": () => new Response("<html>", { status: 404 }),
  "a page with 200": () => new Response("<html>"),
  "an error": () => Response.error(),
};
for (const [what, answer] of Object.entries(failsOnce)) {
  Deno.test(`announce: close() tries again after ${what}`, async () => {
    const { clock, lines, start, answerWith, states } = open();
    const registration = await start({ ttl: 0 });
    let times = 0;
    answerWith((request) => request.method === "DELETE" && times++ === 0 ? answer() : undefined);
    lines.length = 0;
    const closing = registration.close();
    await clock.advance(200);
    await closing;
    assertEquals([await states(), times, lines, clock.timers], [[], 2, [], 0]);
  });
}

Deno.test("announce: close() that fails for a second says that the server is still listed, and until when", async () => {
  for (const [ttl, until] of [[0, "it is removed"], [60_000, "its lease expires"]] as const) {
    const { clock, lines, start, answerWith } = open(undefined, { token: ["old", "new"] });
    const registration = await start({ ttl, token: "old" });
    answerWith(() =>
      Response.json({ error: { code: "unauthenticated", message: "wrong" } }, { status: 401 })
    );
    const closing = registration.close();
    await clock.advance(1_000);
    await closing;
    assertStringIncludes(
      lines.at(-1)!,
      `Cannot remove at http://one.test/_rpc_/registry: wrong (status 401)`,
    );
    assertStringIncludes(lines.at(-1)!, `${ADDRESS} stays on the list until ${until}`);
  }
});

Deno.test("tokens: a token is replaced while a server runs, by a function, with both valid in between", async () => {
  const options = { token: ["old", "new"] };
  const { pass, start, restart, states } = open(undefined, { token: "old" });
  let token = "old";
  await using changing = await start({ ttl: 3_000, token: () => Promise.resolve(token) });
  await using staying = await start({ ttl: 3_000, token: "old" }, OTHER);
  restart(options);
  token = "new";
  await pass(1_500);
  assertEquals([(await states()).length, changing.failure, staying.failure], [2, undefined, undefined]);
  restart({ token: "new" });
  await pass(5_000);
  assertEquals([(await states()).length, changing.failure, staying.failure?.code], [
    1,
    undefined,
    "unauthenticated",
  ]);
  // It is not off the list for good.
  restart(options);
  await pass(1_500);
  assertEquals([(await states()).length, staying.failure], [2, undefined]);
});

Deno.test("tokens: a server keeps running when its token function fails", async () => {
  const { pass, start, states, restart } = open(undefined, { token: "secret" });
  let token: () => string | Promise<string> = () => "secret";
  await using registration = await start({ ttl: 3_000, token: () => token() });
  const failing: [() => string | Promise<string>, string][] = [
    [() => Promise.reject(new Error("no such file")), "Cannot get the registry's token: no such file"],
    [() => {
      throw new Error("no such file");
    }, "Cannot get the registry's token: no such file"],
    [() => "secret\n", "visible ASCII"],
    [() => new Promise<string>(() => {}), "no answer within 2000 ms"],
  ];
  for (const [fails, message] of failing) {
    token = fails;
    await pass(5_000);
    assertStringIncludes(registration.failure?.message ?? "", message);
    assertEquals(registration.failure?.message.includes("secret"), false);
    token = () => "secret";
    restart();
    await pass(3_500);
    assertEquals([(await states()).length, registration.failure], [1, undefined], message);
  }
  token = () => Promise.reject(new Error("no such file"));
  assertEquals((await assertRejects(() => start({ token }), RpcError)).code, "unauthenticated");
  token = () => "secret";
});

Deno.test("tokens: a client whose token is refused is unauthenticated, and is accepted once it changes it", async () => {
  const { clock, fetch, store } = open(undefined, { token: "secret", protectReads: true });
  await store.grant({ address: ADDRESS }, 0);
  let token = "wrong";
  const discovery = new RegistryDiscovery("http://one.test", { clock, fetch, token: () => token });
  assertEquals((await assertRejects(() => discovery.endpoints(), RpcError)).code, "unauthenticated");
  const connecting = connect(discovery, { connectTimeout: 50 });
  const refused = await assertRejects(() => connecting, RpcError, "no list of servers within 50 ms");
  assertEquals(refused.code, "unauthenticated");
  token = "secret";
  const watch = discovery.watch()[Symbol.asyncIterator]();
  assertEquals((await watch.next()).value?.length, 1);
  await watch.return?.();
});

Deno.test("announce: a full registry is reported at once, one that fills up later as a failure", async () => {
  const clock = new FakeClock();
  const { start, answerWith } = open(undefined, {
    clock,
    store: new MemoryStore({ clock, maxInstances: 1 }),
  });
  const registration = await start({ ttl: 3_000, clock });
  const full = await assertRejects(() => start({}, OTHER), RpcError, "the registry is full");
  assertEquals([full.code, registration.failure], ["resource_exhausted", undefined]);
  answerWith(() =>
    Response.json({ error: { code: "resource_exhausted", message: "full" } }, { status: 429 })
  );
  await clock.advance(1_500);
  assertEquals(registration.failure?.code, "resource_exhausted");
  answerWith(() => undefined);
  await clock.advance(1_500);
  assertEquals(registration.failure, undefined);
  await registration.close();
  await settle();
});

Deno.test("announce: an address instead of an object is refused with an example", async () => {
  for (const instance of ["tcp@127.0.0.1:9000", undefined] as unknown as Endpoint[]) {
    const example = 'expected an object such as { address: "tcp@10.0.0.7:9000", services: ["Arith"] }';
    await assertRejects(() => announce("http://127.0.0.1:1", instance), TypeError, example);
  }
});
