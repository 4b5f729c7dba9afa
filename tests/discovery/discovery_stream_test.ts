// RegistryDiscovery over the registry's stream: how soon it knows, what it does when the stream ends or does not
// come, several registries, and what it holds on to.

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import type { Endpoint } from "../../discovery/endpoint.ts";
import type { Fetch } from "../../discovery/registry_request.ts";
import { RegistryDiscovery, type RegistryDiscoveryOptions } from "../../discovery/registry_discovery.ts";
import { MemoryStore } from "../../registry/memory_store.ts";
import { Registry } from "../../registry/registry.ts";
import type { RegistryOptions } from "../../registry/registry_options.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { REGISTRY_URL } from "../support/registry_link.ts";
import { soon, until } from "../support/waiting.ts";

const A = "tcp@127.0.0.1:1";
const B = "tcp@127.0.0.1:2";
const C = "tcp@127.0.0.1:3";

/** What a discovery delivers, in order. */
class Watcher implements AsyncDisposable {
  readonly #watch: AsyncIterator<readonly Endpoint[]>;
  readonly lists: string[] = [];
  #done: Promise<void>;

  constructor(discovery: RegistryDiscovery) {
    this.#watch = discovery.watch()[Symbol.asyncIterator]();
    this.#done = this.#run();
  }

  async #run(): Promise<void> {
    for (let { done, value } = await this.#watch.next(); !done; { done, value } = await this.#watch.next()) {
      this.lists.push((value as Endpoint[]).map(({ address }) => address.slice(-1)).join(""));
    }
  }

  get last(): string | undefined {
    return this.lists.at(-1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watch.return?.();
    await this.#done;
  }
}

/** Registries by the host of their URL, and how each request is answered. */
function open(options: RegistryDiscoveryOptions & { hosts?: string[]; registry?: RegistryOptions } = {}) {
  const clock = new FakeClock();
  const { hosts = ["registry.test"], registry: registryOptions, ...more } = options;
  const registries = new Map<string, Registry>();
  const requests: string[] = [];
  let answer: ((request: Request) => Promise<Response> | Response | undefined) | undefined;
  const start = (host = hosts[0]!, store = new MemoryStore({ clock })) => {
    registries.set(host, new Registry({ clock, store, ...registryOptions }));
    return store;
  };
  const fetch: Fetch = async (url, init) => {
    const request = new Request(url, init);
    const { hostname, searchParams } = new URL(url);
    requests.push(`${hostname.split(".")[0]} ${searchParams.has("watch") ? "watch" : "list"}`);
    const own = await answer?.(request);
    if (own !== undefined) return own;
    const registry = registries.get(hostname);
    if (registry === undefined) throw new TypeError("connection refused");
    return await registry.fetch(request);
  };
  const urls = hosts.map((host) => REGISTRY_URL.replace("registry.test", host));
  const discovery = new RegistryDiscovery(urls, { clock, fetch, random: () => 0.5, ...more });
  return {
    clock,
    discovery,
    requests,
    start,
    stop: async (host = hosts[0]!) => {
      const registry = registries.get(host);
      registries.delete(host);
      await registry?.close();
    },
    answerWith: (own: typeof answer) => void (answer = own),
  };
}

Deno.test("discovery stream: a change is delivered at once, simultaneous changes in one list", async () => {
  const { clock, discovery, start, requests } = open();
  const store = start();
  await store.grant({ address: A }, 0);
  await using watcher = new Watcher(discovery);
  await settle();
  assertEquals(watcher.lists, ["1"]);
  await store.grant({ address: B }, 0);
  await store.grant({ address: C }, 0);
  await store.revoke(A);
  await settle();
  await clock.advance(10);
  assertEquals([watcher.lists, requests], [["1", "23"], ["registry watch"]]);
  await store.setState(B, "paused");
  await clock.advance(10);
  assertEquals(watcher.last, "3");
});

Deno.test("discovery stream: an expired lease is delivered at once", async () => {
  const { clock, discovery, start } = open();
  const store = start();
  await store.grant({ address: A }, 0);
  await store.grant({ address: B }, 3_000);
  await using watcher = new Watcher(discovery);
  await clock.advance(2_999);
  assertEquals(watcher.last, "12");
  await clock.advance(12);
  assertEquals(watcher.last, "1");
});

Deno.test("discovery stream: is reopened each refreshInterval, and resumes where it was", async () => {
  const { clock, discovery, start, requests, answerWith } = open({ refreshInterval: 1_000 });
  const store = start();
  await store.grant({ address: A }, 0);
  await using watcher = new Watcher(discovery);
  await settle();
  const watched: (string | null)[] = [];
  answerWith((request) => void watched.push(new URL(request.url).searchParams.get("watch")));
  const { revision } = await store.list();
  await clock.advance(3_000);
  assertEquals(watched, [String(revision), String(revision), String(revision)]);
  assertEquals(requests.length, 4);
  await store.grant({ address: B }, 0);
  await clock.advance(1_000);
  assertEquals([watcher.lists, watched.at(-1)], [["1", "12"], String(revision + 1)]);
});

Deno.test("discovery stream: clients keep working when a registry dies, and when it comes back empty", async () => {
  const { clock, discovery, start, stop } = open({ holdTime: 8_000 });
  let store = start();
  for (const address of [A, B, C]) await store.grant({ address }, 0);
  await using watcher = new Watcher(discovery);
  await settle();
  await stop();
  await clock.advance(3_600_000);
  assertEquals([watcher.last, (await discovery.endpoints()).length], ["123", 3]);
  await new Promise((resolve) => setTimeout(resolve, 5));
  store = start();
  await clock.advance(11_000);
  // The servers announce themselves again, one after the other; C has died with the registry.
  await store.grant({ address: A }, 0);
  await clock.advance(2_000);
  await store.grant({ address: B }, 0);
  await clock.advance(1_000);
  assertEquals(watcher.lists, ["123"]);
  await clock.advance(8_000);
  assertEquals(watcher.lists, ["123", "12"]);
});

Deno.test("discovery stream: servers missing after a registry restarted are kept, those that leave a running one are not", async () => {
  const { clock, discovery, start, stop } = open({ holdTime: 5_000 });
  const store = start();
  for (const address of [A, B, C]) await store.grant({ address }, 0);
  await using watcher = new Watcher(discovery);
  await settle();
  await store.revoke(C);
  await clock.advance(10);
  assertEquals(watcher.lists, ["123", "12"]);
  await stop();
  await new Promise((resolve) => setTimeout(resolve, 5));
  // B is there again before the client is, A is not yet.
  await start().grant({ address: B }, 0);
  await clock.advance(5_000);
  assertEquals(watcher.lists, ["123", "12"]);
  await clock.advance(500);
  assertEquals(watcher.lists, ["123", "12", "2"]);
});

Deno.test("discovery stream: an empty list is not believed for holdTime", async () => {
  const { clock, discovery, start } = open({ holdTime: 5_000 });
  const store = start();
  await store.grant({ address: A }, 1_000);
  await store.grant({ address: B }, 1_000);
  await using watcher = new Watcher(discovery);
  // The registry receives no heartbeats any more: both leases expire.
  await clock.advance(5_999);
  assertEquals(watcher.lists, ["12"]);
  await clock.advance(30);
  assertEquals(watcher.lists, ["12", ""]);
  // The first list may be empty, and so may one that was not watched for that long.
  const unwatched = open({ holdTime: 5_000, refreshInterval: 100 });
  const others = unwatched.start();
  assertEquals(await unwatched.discovery.endpoints(), []);
  await others.grant({ address: A }, 150);
  await unwatched.clock.advance(100);
  assertEquals((await unwatched.discovery.endpoints()).length, 1);
  // The lease runs out.
  await unwatched.clock.advance(100);
  assertEquals((await unwatched.discovery.endpoints()).length, 1);
  await unwatched.clock.advance(4_999);
  assertEquals((await unwatched.discovery.endpoints()).length, 1);
  await unwatched.clock.advance(1);
  assertEquals(await unwatched.discovery.endpoints(), []);
});

const cannotStream: Record<string, (request: Request) => Response | undefined> = {
  "answers with the list": (request) => {
    const url = new URL(request.url);
    return url.searchParams.has("watch") ? Response.json({ servers: [{ address: A }] }) : undefined;
  },
  "refuses": (request) => {
    return new URL(request.url).searchParams.has("watch") ? new Response("no", { status: 406 }) : undefined;
  },
  "talks nonsense": (request) => {
    return new URL(request.url).searchParams.has("watch") ? new Response("<html>") : undefined;
  },
  "is held back on the way": (request) => {
    if (!new URL(request.url).searchParams.has("watch")) return undefined;
    return new Response(new ReadableStream(), { headers: { "content-type": "text/event-stream" } });
  },
};
for (const [what, answer] of Object.entries(cannotStream)) {
  Deno.test(`discovery stream: a registry that ${what} is polled instead`, async () => {
    const { clock, discovery, start, answerWith } = open({ refreshInterval: 1_000, timeout: 500 });
    const store = start();
    await store.grant({ address: A }, 0);
    answerWith(answer);
    await using watcher = new Watcher(discovery);
    await clock.advance(600);
    assertEquals(watcher.last, "1");
    answerWith((request) => {
      const own = answer(request);
      return own?.headers.get("content-type") === "application/json" && own.status === 200
        ? Response.json({ servers: [{ address: A }, { address: B }] })
        : own;
    });
    await store.grant({ address: B }, 0);
    await clock.advance(2_200);
    assertEquals(watcher.last, "12");
  });
}

Deno.test("discovery stream: a stream that sends only its beginning is replaced by polling", async () => {
  const { clock, discovery, start, answerWith } = open({ refreshInterval: 10_000, timeout: 500 });
  const store = start();
  await store.grant({ address: A }, 0);
  answerWith((request) => {
    if (!new URL(request.url).searchParams.has("watch")) return undefined;
    const start = (controller: ReadableStreamDefaultController<Uint8Array>) =>
      controller.enqueue(new TextEncoder().encode("retry: 1000\n\n"));
    return new Response(new ReadableStream({ start }), { headers: { "content-type": "text/event-stream" } });
  });
  await using watcher = new Watcher(discovery);
  // No list has come, which should be the first.
  await clock.advance(600);
  assertEquals(watcher.last, "1");
  await store.grant({ address: B }, 0);
  // The next stream, and what a registry sends each 5 s to show that it is alive.
  await clock.advance(17_000);
  assertEquals([watcher.last, discovery.failure], ["12", undefined]);
});

Deno.test("discovery stream: a stream whose response never begins is replaced by polling", async () => {
  const { clock, discovery, start, answerWith } = open({ refreshInterval: 1_000, timeout: 500 });
  const store = start();
  await store.grant({ address: A }, 0);
  answerWith((request) => {
    if (!new URL(request.url).searchParams.has("watch")) return undefined;
    return new Promise<Response>((_, reject) => {
      request.signal.addEventListener("abort", () => reject(request.signal.reason));
    });
  });
  await using watcher = new Watcher(discovery);
  await clock.advance(600);
  assertEquals([watcher.last, discovery.failure], ["1", undefined]);
  await store.grant({ address: B }, 0);
  await clock.advance(1_600);
  assertEquals([watcher.last, discovery.failure], ["12", undefined]);
});

Deno.test("discovery: an error after a redirect names the URL that answered", async () => {
  const fetch: Fetch = () => {
    const response = new Response("<html>", { status: 401 });
    Object.defineProperties(response, {
      redirected: { value: true },
      url: { value: "https://two.test/login" },
    });
    return Promise.resolve(response);
  };
  const error = await assertRejects(
    () => new RegistryDiscovery(REGISTRY_URL, { fetch }).endpoints(),
    RpcError,
  );
  assertEquals(
    error.message,
    `Cannot read the list of the registry at ${REGISTRY_URL}: its answer from https://two.test/login, to which it ` +
      "redirects, (status 401) is not a list of servers",
  );
});

Deno.test("discovery stream: a silent registry is replaced by another", async () => {
  const { clock, discovery, start, answerWith, requests } = open({ refreshInterval: 60_000 });
  const store = start();
  await store.grant({ address: A }, 0);
  await using watcher = new Watcher(discovery);
  await settle();
  // From now on nothing arrives, as after a cable was pulled: the stream's timer alone is still there.
  let canceled = false;
  const dead = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new TextEncoder().encode(":\n\n")),
    cancel: () => void (canceled = true),
  });
  answerWith(() => new Response(dead, { headers: { "content-type": "text/event-stream" } }));
  await clock.advance(61_000);
  answerWith(undefined);
  await store.grant({ address: B }, 0);
  assertEquals([watcher.last, requests.length], ["1", 2]);
  await clock.advance(12_000);
  assertEquals([watcher.last, canceled], ["12", true]);
});

Deno.test("discovery stream: invalid events end it, and the list is requested again", async () => {
  const hostile = [
    "event: list\ndata: {}\n\n",
    "event: change\ndata: [\n\n",
    'event: change\ndata: {"revision":"1","set":[],"removed":[]}\n\n',
    "x".repeat(20_000),
    "event: unavailable\ndata: {}\n\n",
  ];
  for (const text of hostile) {
    const { clock, discovery, start, answerWith } = open({ maxListBytes: 10_000 });
    const store = start();
    await store.grant({ address: A }, 0);
    await using watcher = new Watcher(discovery);
    await settle();
    let times = 0;
    answerWith(() =>
      times++ > 0 ? undefined : new Response(text, { headers: { "content-type": "text/event-stream" } })
    );
    await clock.advance(10_000);
    await store.grant({ address: B }, 0);
    await clock.advance(1_000);
    assertEquals([watcher.last, times > 1], ["12", true], text.slice(0, 40));
  }
});

Deno.test("discovery stream: invalid parts of an event are left out, the rest counts, however it is split", async () => {
  const { clock, discovery, answerWith } = open();
  const events =
    `retry: 1\r\n\r\n: comment\n\nevent:list\r\ndata: {"revision":1,\r\ndata: "servers":[{"address":"${A}"},7]}\r\n\r\n` +
    `event: change\nid: 2\ndata: {"revision":2,"set":[{"address":"x"},{"address":"${B}"}],"removed":[7,"${C}"]}\n\n` +
    `event: change\ndata: {"revision":2,"set":[],"removed":["${A}"]}\n\nevent: new\ndata: x\n\n`;
  answerWith(() => {
    const bytes = new TextEncoder().encode(events);
    const stream = new ReadableStream<Uint8Array>({
      start: (controller) => bytes.forEach((_, i) => controller.enqueue(bytes.subarray(i, i + 1))),
    });
    return new Response(stream, { headers: { "content-type": "text/event-stream; charset=utf-8" } });
  });
  await using watcher = new Watcher(discovery);
  await clock.advance(10);
  await settle();
  await clock.advance(10);
  assertEquals(watcher.last, "12", "a revision that was there before is not applied twice");
});

Deno.test("discovery stream: the next registry is used as soon as one is away", async () => {
  const { clock, discovery, start, stop, requests } = open({ hosts: ["one.test", "two.test", "three.test"] });
  const store = new MemoryStore({ clock });
  for (const host of ["one.test", "two.test"]) start(host, store);
  await store.grant({ address: A }, 0);
  await using watcher = new Watcher(discovery);
  await settle();
  assertEquals([requests, watcher.last], [["two watch"], "1"]);
  await stop("two.test");
  await settle();
  // The third is away too, so it is the first again; not a ms has passed.
  assertEquals(requests, ["two watch", "three watch", "one watch"]);
  await store.grant({ address: B }, 0);
  await clock.advance(10);
  assertEquals(watcher.lists, ["1", "12"]);
  await stop("one.test");
  await clock.advance(60_000);
  start("three.test", store);
  await store.grant({ address: C }, 0);
  await clock.advance(11_000);
  assertEquals(watcher.lists, ["1", "12", "123"]);
  // Without a watch the same.
  const other = open({ hosts: ["one.test", "two.test"] });
  other.start("one.test");
  assertEquals(await other.discovery.endpoints(), []);
  assertEquals(other.requests, ["two list", "one list"]);
  await other.stop("one.test");
  await assertRejects(
    () => open({ hosts: ["one.test", "two.test"] }).discovery.endpoints(),
    RpcError,
    "one.test",
  );
});

Deno.test("discovery stream: failure names the registry that was tried last, until a stream is open again", async () => {
  const { clock, discovery, start, stop } = open({
    hosts: ["one.test", "two.test"],
    refreshInterval: 60_000,
  });
  const urlOf = (host: string) => REGISTRY_URL.replace("registry.test", host);
  const store = new MemoryStore({ clock });
  await using watcher = new Watcher(discovery);
  assertEquals(discovery.failure?.message, `The registry at ${urlOf("two.test")} has not answered yet`);
  await settle();
  assertEquals(
    discovery.failure?.message,
    `Cannot reach registry at ${urlOf("one.test")}: connection refused`,
  );
  start("two.test", store);
  await store.grant({ address: A }, 0);
  await clock.advance(60_000);
  assertEquals([watcher.last, discovery.failure], ["1", undefined]);
  await stop("two.test");
  await settle();
  assertEquals(
    [discovery.failure?.message, watcher.last],
    [`Cannot reach registry at ${urlOf("one.test")}: connection refused`, "1"],
  );
  // The list is as it was: that the stream is open is all that is heard.
  start("two.test", store);
  await clock.advance(60_000);
  assertEquals([watcher.lists, discovery.failure], [["1"], undefined]);
});

Deno.test("discovery stream: a request that fails while the stream is open is no failure", async () => {
  const { clock, discovery, start, answerWith } = open();
  const late = Promise.withResolvers<Response>();
  answerWith((request) => new URL(request.url).searchParams.has("watch") ? undefined : late.promise);
  const store = start();
  await store.grant({ address: A }, 0);
  const asking = discovery.endpoints();
  await using watcher = new Watcher(discovery);
  await settle();
  await clock.advance(1_000);
  late.resolve(new Response("", { status: 500 }));
  await assertRejects(() => asking, RpcError, "status 500");
  assertEquals([watcher.last, discovery.failure], ["1", undefined]);
});

Deno.test("discovery stream: sends its token, and reports that it is wrong", async () => {
  const registry = { token: "secret", protectReads: true };
  const right = open({ registry, token: "secret" });
  await right.start().grant({ address: A }, 0);
  assertEquals((await right.discovery.endpoints()).length, 1);
  await using watcher = new Watcher(right.discovery);
  await settle();
  assertEquals([watcher.last, right.requests], ["1", ["registry list", "registry watch"]]);
  const wrong = open({ registry, token: "Secret" });
  wrong.start();
  const error = await assertRejects(() => wrong.discovery.endpoints(), RpcError, "status 401");
  assertEquals(error.message.includes("ecret"), false);
  assertThrows(() => new RegistryDiscovery(REGISTRY_URL, { token: "a b" }), TypeError, "token");
  assertThrows(() => new RegistryDiscovery([]), TypeError, "an empty list of registry URLs");
  assertThrows(() => new RegistryDiscovery([REGISTRY_URL, "x"]), TypeError, "registry URL");
  assertThrows(() => new RegistryDiscovery(REGISTRY_URL, { holdTime: -1 }), RangeError, "holdTime");
});

Deno.test("discovery stream: over a network, a watch receives each change without polling, and leaves nothing open", async () => {
  const store = new MemoryStore();
  await using registry = new Registry({ store });
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
  await store.grant({ address: A }, 0);
  const discovery = new RegistryDiscovery(`http://127.0.0.1:${server.addr.port}`, {
    refreshInterval: 3_600_000,
  });
  await using watcher = new Watcher(discovery);
  await until(() => watcher.last === "1", "the first list");
  for (let i = 0; i < 10; i++) {
    await (i % 2 === 0 ? store.grant({ address: B }, 0) : store.revoke(B));
    await until(() => watcher.last === (i % 2 === 0 ? "12" : "1"), "the change");
  }
});

Deno.test("discovery stream: a server that shuts down waits for its watches no longer than refreshInterval", async () => {
  await using registry = new Registry();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
  const discovery = new RegistryDiscovery(`http://127.0.0.1:${server.addr.port}`, { refreshInterval: 50 });
  await using watcher = new Watcher(discovery);
  await until(() => watcher.lists.length === 1, "the first list");
  await soon(server.shutdown(), "the end");
});
