// The registry's stream of events over HTTP: what it says, how it resumes, how soon, and who does not read it.

import { assertEquals, assertMatch } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { MemoryStore } from "../../registry/memory_store.ts";
import { Registry } from "../../registry/registry.ts";
import type { RegistryOptions } from "../../registry/registry_options.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { REGISTRY_URL } from "../support/registry_link.ts";
import { soon } from "../support/waiting.ts";

const A = "tcp@127.0.0.1:1";
const B = "tcp@127.0.0.1:2";

interface Event {
  event: string | undefined;
  id: number;
  // deno-lint-ignore no-explicit-any -- as JSON comes
  data: any;
}

/** Reads a stream of events, with a parser of its own. */
class Events implements AsyncDisposable {
  readonly #reader: ReadableStreamDefaultReader<string>;
  #text = "";
  comments = 0;

  constructor(response: Response) {
    assertEquals([response.status, response.headers.get("content-type")], [200, "text/event-stream"]);
    // What keeps proxies from holding events back.
    assertEquals(
      [response.headers.get("cache-control"), response.headers.get("x-accel-buffering")],
      ["no-store, no-transform", "no"],
    );
    this.#reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  }

  async next(): Promise<Event | undefined> {
    for (;;) {
      const end = this.#text.indexOf("\n\n");
      if (end >= 0) {
        const block = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 2);
        if (block.startsWith(":")) this.comments++;
        const fields = new Map(block.split("\n").map((line) => line.split(/: (.*)/s) as [string, string]));
        if (fields.has("data")) {
          return {
            event: fields.get("event"),
            id: Number(fields.get("id")),
            data: JSON.parse(fields.get("data")!),
          };
        }
        continue;
      }
      const { done, value } = await this.#reader.read();
      if (done) return undefined;
      this.#text += value;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader.cancel();
  }
}

function open(options: RegistryOptions = {}) {
  const clock = new FakeClock();
  const store = new MemoryStore({ clock });
  const registry = new Registry({ clock, store, ...options });
  const fetch = (query = "", init: RequestInit = {}) =>
    registry.fetch(new Request(`${REGISTRY_URL}${query}`, init));
  const watch = async (query = "?watch", headers: Record<string, string> = {}) =>
    new Events(await fetch(query, { headers }));
  return { clock, store, registry, fetch, watch };
}

Deno.test("registry watch: the list, then each change, with revisions as ids", async () => {
  const { clock, store, watch } = open();
  await store.grant({ address: A, weight: 2, version: "1.0" }, 1_000);
  await using events = await watch();
  const { revision } = await store.list();
  assertEquals(await events.next(), {
    event: "list",
    id: revision,
    data: {
      revision,
      ttl: 10_000,
      servers: [{ address: A, weight: 2, version: "1.0", ttl: 1_000, age: 0, idle: 0 }],
    },
  });
  await store.grant({ address: B }, 0);
  const server = { address: B, ttl: 0, age: 0, idle: 0 };
  const id = revision + 1;
  assertEquals(await events.next(), {
    event: "change",
    id,
    data: { revision: id, set: [server], removed: [] },
  });
  await clock.advance(1_000);
  assertEquals((await events.next())?.data, { revision: id + 1, set: [], removed: [A] });
});

Deno.test("registry watch: resumes by the query and by Last-Event-ID, which counts more", async () => {
  const { store, watch } = open();
  await store.grant({ address: A }, 0);
  const { revision } = await store.list();
  await store.grant({ address: B }, 0);
  for (
    const [query, headers] of [
      [`?watch=${revision}`, {}],
      ["?watch", { "last-event-id": String(revision) }],
      ["?watch=1", { "last-event-id": String(revision) }],
    ] as const
  ) {
    await using events = await watch(query, headers);
    const event = await events.next();
    assertEquals([event?.event, event?.data.set[0].address], ["change", B]);
  }
  for (const query of ["?watch", "?watch=", "?watch=0", "?watch=1", `?watch=${revision + 100}`]) {
    await using events = await watch(query);
    assertEquals((await events.next())?.event, "list", query);
  }
});

Deno.test("registry watch: 1000 changes arrive exactly once and in order over 50 broken connections", async () => {
  const store = new MemoryStore();
  await using registry = new Registry({ store });
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
  const url = `http://127.0.0.1:${server.addr.port}/_rpc_/registry?watch=${(await store.list()).revision}`;
  const changing = (async () => {
    for (let weight = 0; weight < 1_000; weight++) {
      await store.grant({ address: `tcp@127.0.0.1:${1 + weight % 9}`, weight }, 0);
      if (weight % 10 === 9) await settle();
    }
  })();
  const weights: number[] = [];
  let id = "";
  let connections = 0;
  while (weights.length < 1_000) {
    connections++;
    const headers: Record<string, string> = id === "" ? {} : { "last-event-id": id };
    await using events = new Events(await fetch(url, { headers }));
    for (let i = 0; i < 20 && weights.length < 1_000; i++) {
      const event = await events.next();
      assertEquals([event?.event, Number(id) < event!.id], ["change", true]);
      id = String(event!.id);
      for (const { weight } of event!.data.set) weights.push(weight);
    }
  }
  await changing;
  assertEquals(connections, 50);
  assertEquals(weights, Array.from({ length: 1_000 }, (_, weight) => weight));
});

Deno.test("registry watch: invalid revisions are refused", async () => {
  const { fetch } = open();
  for (const query of ["-1", "x", "1.5", "1e3", "99999999999999999999", "9007199254740993"]) {
    const response = await fetch(`?watch=${query}`);
    assertEquals(response.status, 400);
    assertMatch((await response.json()).error.message, /^Cannot watch from revision ".{1,20}": expected/);
  }
});

Deno.test("registry watch: shows servers that accept calls, of the requested service; ?all shows all", async () => {
  const { store, watch } = open();
  await store.grant({ address: A, services: ["Foo"] }, 0);
  await using some = await watch("?watch&service=Foo");
  await using all = await watch("?watch&all");
  const addresses = (event: Event | undefined) =>
    event?.data.servers.map((s: { address: string }) => s.address);
  assertEquals([addresses(await some.next()), addresses(await all.next())], [[A], [A]]);
  const { lease: { incarnation } } = await store.grant({ address: B, services: ["Bar"] }, 0);
  assertEquals((await some.next())?.data.set, []);
  assertEquals((await all.next())?.data.set[0], {
    address: B,
    services: ["Bar"],
    ttl: 0,
    age: 0,
    idle: 0,
    state: "active",
    incarnation,
  });
  await store.setState(A, "paused");
  assertEquals((await some.next())?.data.removed, [A]);
  assertEquals((await all.next())?.data.set[0].state, "paused");
  await store.setState(A, "active");
  assertEquals((await some.next())?.data.set[0].address, A);
  await store.grant({ address: A, services: ["Bar"] }, 0);
  assertEquals((await some.next())?.data.removed, [A]);
});

Deno.test("registry watch: a silent stream sends keep-alives, and a closed one leaks nothing", async () => {
  const { clock, watch, fetch } = open();
  {
    await using events = await watch();
    await events.next();
    const next = events.next();
    await clock.advance(15_000);
    assertEquals(events.comments, 3);
    const metrics = await fetch("/../../metrics").then((response) => response.text());
    assertMatch(metrics, /^registry_watchers 1$/m);
    next.catch(() => {});
  }
  await settle();
  assertEquals(clock.timers, 0);
  assertMatch(await fetch("/../../metrics").then((response) => response.text()), /^registry_watchers 0$/m);
});

Deno.test("registry watch: a client that does not read is cut after 30 s, and delays no other", async () => {
  const { clock, store, watch, fetch } = open();
  const stalled = await fetch("?watch");
  await using events = await watch();
  await events.next();
  for (let weight = 0; weight < 100; weight++) {
    await store.grant({ address: A, weight }, 0);
    assertEquals((await events.next())?.data.set[0].weight, weight);
  }
  const next = events.next();
  await clock.advance(30_000);
  assertMatch(
    await fetch("/../../metrics").then((response) => response.text()),
    /^registry_watchers 1\n[^]*registry_watchers_stalled_total 1$/m,
  );
  await stalled.body?.cancel().catch(() => {});
  await store.revoke(A);
  assertEquals((await next)?.data.removed, [A]);
});

Deno.test("registry watch: an unreachable store is reported and ends the stream", async () => {
  const clock = new FakeClock();
  const store = new MemoryStore({ clock });
  const registry = new Registry({ clock, store });
  const { watch } = store;
  store.watch = async function* (options) {
    for await (const event of watch.call(store, options)) {
      yield event;
      break;
    }
    throw new RpcError("unavailable", 'Cannot reach "etcd"\n\nevent: list');
  };
  await using events = new Events(await registry.fetch(new Request(`${REGISTRY_URL}?watch`)));
  assertEquals((await events.next())?.event, "list");
  const last = await events.next();
  assertEquals([last?.event, last?.data], ["unavailable", { message: 'Cannot reach "etcd"\n\nevent: list' }]);
  assertEquals([await events.next(), clock.timers], [undefined, 0]);
});

Deno.test("registry watch: watches are limited in number", async () => {
  const { watch, fetch } = open({ maxWatchers: 2 });
  await using _one = await watch();
  {
    await using _two = await watch();
    const refused = await fetch("?watch");
    assertEquals(refused.status, 429);
    assertEquals((await refused.json()).error, {
      code: "resource_exhausted",
      message: "Cannot watch: the limit of 2 watches is reached (maxWatchers)",
    });
  }
  await using _three = await watch();
});

Deno.test("registry watch: closing the registry ends the streams, so that its HTTP server can shut down", async () => {
  await using registry = new Registry();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
  const response = await fetch(`http://127.0.0.1:${server.addr.port}/_rpc_/registry?watch`);
  await using events = new Events(response);
  assertEquals((await events.next())?.event, "list");
  await registry.close();
  assertEquals(await events.next(), undefined);
  await soon(server.shutdown(), "the server to shut down");
});

Deno.test("registry watch: a watcher on the network receives each change as an event of its own", async () => {
  const store = new MemoryStore();
  await using registry = new Registry({ store });
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
  await using events = new Events(await fetch(`http://127.0.0.1:${server.addr.port}/_rpc_/registry?watch`));
  await events.next();
  for (let i = 0; i < 50; i++) {
    const pending = events.next();
    if (i % 2 === 0) await store.grant({ address: A }, 0);
    else await store.revoke(A);
    await soon(pending, `the event of change ${i}`);
  }
});

Deno.test("registry watch: a browser that goes away leaks nothing", async () => {
  await using registry = new Registry();
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
  const origin = `http://127.0.0.1:${server.addr.port}`;
  const controller = new AbortController();
  const response = await fetch(`${origin}/_rpc_/registry?watch`, { signal: controller.signal });
  const watchers = async () => {
    const text = await fetch(`${origin}/metrics`).then((response) => response.text());
    return /^registry_watchers (\d+)$/m.exec(text)?.[1];
  };
  assertEquals(await watchers(), "1");
  controller.abort();
  await response.body?.cancel().catch(() => {});
  await soon(
    (async () => {
      while (await watchers() !== "0") await settle();
    })(),
    "the registry to notice",
  );
});

Deno.test("registry watch: a client that leaves just after the last event leaks nothing", async () => {
  const clock = new FakeClock();
  await using registry = new Registry({ clock, store: new MemoryStore({ clock }) });
  await registry.fetch(new Request(REGISTRY_URL, { method: "POST", headers: { "x-rpc-server": A } }));
  const response = await registry.fetch(new Request(`${REGISTRY_URL}?watch`));
  const reader = response.body!.getReader();
  await reader.read(); // the time to wait before another attempt
  await settle(); // the list is being sent, and is not read
  await reader.cancel();
  await settle();
  assertEquals(clock.timers, 0);
});
