// EtcdStore when things go wrong: etcd killed, restarted, emptied, compacted and cut off; several registries, of which
// one dies; and what others write under its keys.

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { SYSTEM_CLOCK } from "../../discovery/clock.ts";
import { RegistryDiscovery } from "../../discovery/registry_discovery.ts";
import { announce } from "../../registry/announce.ts";
import { Compacted, EtcdClient } from "../../registry/etcd_client.ts";
import { EtcdStore } from "../../registry/etcd_store.ts";
import { Registry } from "../../registry/registry.ts";
import type { RegistryStore } from "../../registry/store.ts";
import { Follower } from "../support/contracts/registry_store_watch.ts";
import { Cable, Etcd, etcdPresent, etcdSkipped } from "../support/etcd_process.ts";
import { until } from "../support/waiting.ts";

const A = "tcp@127.0.0.1:1";
const B = "tcp@127.0.0.1:2";
const C = "tcp@127.0.0.1:3";

function test(what: string, fn: (etcd: Etcd) => Promise<void>): void {
  Deno.test({
    name: `etcd: ${what}${etcdSkipped}`,
    ignore: !etcdPresent,
    async fn() {
      await using etcd = await Etcd.start();
      await fn(etcd);
    },
  });
}

async function addresses(store: RegistryStore): Promise<string[]> {
  return (await store.list()).leases.map(({ instance }) => instance.address);
}

async function answers(store: RegistryStore): Promise<boolean> {
  return await store.list().then(() => true, () => false);
}

test("killed and restarted: unavailable in between, nothing lost, nothing delivered twice", async (etcd) => {
  const lines: string[] = [];
  await using store = new EtcdStore(etcd.url, { timeout: 500, log: (line) => lines.push(line) });
  const { lease } = await store.grant({ address: A }, 5_000, 0);
  await store.grant({ address: B }, 0);
  const { revision } = await store.list();
  await using follower = new Follower(store);
  await follower.until(() => follower.lists === 1);
  await etcd.kill();
  await until(async () => !await answers(store), "the store to notice");
  for (
    const what of [
      store.renew(A),
      store.grant({ address: C }, 0),
      store.revoke(B),
      store.setState(B, "paused"),
    ]
  ) {
    assertEquals((await assertRejects(() => what, RpcError)).code, "unavailable");
  }
  await until(() => follower.error !== undefined, "the watch to end");
  assertEquals((follower.error as RpcError).code, "unavailable");
  await etcd.start();
  await until(() => answers(store), "the store to be back");
  assertEquals(await addresses(store), [A, B]);
  assertEquals((await store.renew(A, lease.incarnation))?.incarnation, lease.incarnation);
  await using again = new Follower(store, revision);
  await store.grant({ address: C }, 0);
  await again.until(() => again.revisions.length === 1);
  assertEquals([[...again.weights.keys()], again.lists], [[C], 0]);
  assertEquals(lines.map((line) => line.replace(/:.*retrying/, ": … retrying")), [
    "registry: … retrying until it is reachable",
    "registry: etcd is back",
  ]);
});

test("absent at the start: unavailable, then found", async (etcd) => {
  await etcd.kill();
  await using store = new EtcdStore(etcd.url, { timeout: 300 });
  const error = await assertRejects(() => store.list(), RpcError, `Cannot reach etcd at ${etcd.url}`);
  assertEquals(error.code, "unavailable");
  await etcd.start();
  await until(() => answers(store), "the store to find it");
});

test("cut off silently: reports it soon, continues when the cut is over, even if etcd was compacted", async (etcd) => {
  await using cable = new Cable(etcd.url);
  await using far = new EtcdStore(cable.url, { timeout: 1_000 });
  await using near = new EtcdStore(etcd.url);
  await near.grant({ address: A }, 2_000);
  // Which comes back by its watch, so that this is there, and idle, when it is cut.
  await far.grant({ address: B, weight: 1 }, 0);
  const { revision } = await far.list();
  await until(async () => (await far.list()).revision >= revision, "both to know");
  cable.cut();
  await until(async () => !await answers(far), "the cut to be noticed");
  // Meanwhile one registers, one changes, one goes, and the first is not renewed.
  await near.grant({ address: C }, 0);
  await near.grant({ address: B, weight: 2 }, 0);
  await near.revoke(C);
  await until(async () => !(await addresses(near)).includes(A), "the lease to run out");
  await near.grant({ address: "tcp@127.0.0.1:4" }, 0);
  await etcd.ask("kv/compaction", { revision: String((await near.list()).revision) });
  await using follower = new Follower(near, revision);
  await follower.until(() => follower.revision !== undefined && follower.weights.size === 2);
  cable.mend();
  await until(() => answers(far), "the mending to be noticed");
  const strip = async (store: RegistryStore) =>
    (await store.list()).leases.map(({ instance, incarnation, state }) => ({ instance, incarnation, state }));
  assertEquals(await strip(far), await strip(near));
  assertEquals(await addresses(far), [B, "tcp@127.0.0.1:4"]);
  // A client that watched the far one before the cut receives all of it.
  await using late = new Follower(far, revision, new Map([[A, undefined], [B, 1]]));
  await late.until(() => late.weights.size === 2 && late.weights.has("tcp@127.0.0.1:4"));
  assertEquals([...late.weights].sort(), [[B, 2], ["tcp@127.0.0.1:4", undefined]]);
});

test("a lease that ended on the other side of a cut is neither revived nor immortal", async (etcd) => {
  await using cable = new Cable(etcd.url);
  await using far = new EtcdStore(cable.url, { timeout: 500 });
  await using near = new EtcdStore(etcd.url);
  const { lease } = await far.grant({ address: A }, 2_000, 0);
  cable.cut();
  await until(async () => !(await addresses(near)).includes(A), "the lease to run out");
  const young = await near.grant({ address: A, weight: 2 }, 2_000, 0);
  cable.mend();
  await until(() => answers(far), "the mending to be noticed");
  assertEquals((await assertRejects(() => far.renew(A, lease.incarnation), RpcError)).code, "aborted");
  assertEquals((await near.list()).leases[0]?.incarnation, young.lease.incarnation);
  await until(async () => (await addresses(far)).length === 0, "the lease to expire");
});

test("emptied: all servers register again", async (etcd) => {
  await using store = new EtcdStore(etcd.url, { timeout: 500 });
  for (let weight = 0; weight < 20; weight++) await store.grant({ address: A, weight }, 0);
  const { revision } = await store.list();
  await etcd.kill();
  await using other = await Etcd.start(etcd.url);
  await until(() => answers(store), "the store to be back");
  assertEquals(await addresses(store), []);
  await store.grant({ address: B }, 0);
  assertEquals((await other.ask("kv/range", { key: btoa("/"), range_end: btoa("0") })).count, "1");
  await using follower = new Follower(store, revision);
  await follower.until(() => follower.lists === 1);
  assertEquals([...follower.weights.keys()], [B]);
});

test("two registries serve one list, and one may die under servers and clients", async (etcd) => {
  await using one = new EtcdStore(etcd.url);
  await using two = new EtcdStore(etcd.url);
  const serve = (store: EtcdStore) => {
    const registry = new Registry({ store });
    const http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
    return {
      url: `http://127.0.0.1:${http.addr.port}`,
      die: () => registry.close().then(() => http.shutdown()),
    };
  };
  const [first, second] = [serve(one), serve(two)];
  const urls = [first.url, second.url];
  const registration = await announce(urls, { address: A }, { ttl: 3_000 });
  await until(async () => (await addresses(two)).length === 1, "the other to know");
  const seen: string[][] = [];
  const stop = new AbortController();
  // Chance has it that the client begins with the one that will die.
  const discovery = new RegistryDiscovery(urls, { random: () => 0 });
  const watching = (async () => {
    for await (const list of discovery.watch({ signal: stop.signal })) {
      seen.push(list.map(({ address }) => address));
    }
  })();
  await until(() => seen.length === 1, "the first list");
  await first.die();
  await two.grant({ address: B }, 0);
  await until(() => seen.length === 2, "the change by way of the other");
  assertEquals(seen, [[A], [A, B]]);
  // The server's heartbeats go on as well: its lease would have ended twice by now.
  await new Promise((resolve) => setTimeout(resolve, 6_500));
  assertEquals([await addresses(two), seen.length], [[A, B], 2]);
  await registration.close();
  await until(() => seen.length === 3, "the server to leave");
  assertEquals(seen[2], [B]);
  stop.abort();
  await watching;
  await second.die();
});

test("a watcher at one registry receives what is registered at another", async (etcd) => {
  await using one = new EtcdStore(etcd.url);
  await using two = new EtcdStore(etcd.url);
  await using follower = new Follower(two);
  await follower.until(() => follower.lists === 1);
  for (let weight = 0; weight < 20; weight++) {
    const granting = one.grant({ address: A, weight }, 0);
    await follower.until(() => follower.weights.get(A) === weight);
    await granting;
  }
});

test("a dead server leaves within 1.5 leases", async (etcd) => {
  await using store = new EtcdStore(etcd.url);
  await using follower = new Follower(store);
  const { lease: { ttl } } = await store.grant({ address: A }, 3_000);
  await follower.until(() => follower.weights.size === 1);
  const began = performance.now();
  await follower.until(() => follower.weights.size === 0);
  const took = performance.now() - began;
  assertEquals(ttl, 3_000);
  assertEquals(took > 2_900 && took < 1.5 * ttl, true, `it took ${took} ms`);
});

test("of many simultaneous registrations the last one stays, and each was another incarnation", async (etcd) => {
  await using one = new EtcdStore(etcd.url);
  await using two = new EtcdStore(etcd.url);
  const grants = await Promise.allSettled(
    Array.from(
      { length: 6 },
      (_, weight) => (weight % 2 ? one : two).grant({ address: A, weight }, 5_000, 0),
    ),
  );
  const incarnations = grants.filter((grant) => grant.status === "fulfilled")
    .map(({ value }) => value.lease.incarnation);
  assertEquals([incarnations.length, new Set(incarnations).size], [6, 6]);
  assertEquals((await one.list()).leases[0]?.incarnation, Math.max(...incarnations));
  for (const incarnation of incarnations) {
    const renewed = await two.renew(A, incarnation).catch((error) => error.code);
    assertEquals(
      renewed.incarnation ?? renewed,
      incarnation === Math.max(...incarnations) ? incarnation : "aborted",
    );
  }
});

test("foreign keys under its prefix are not servers", async (etcd) => {
  await using store = new EtcdStore(etcd.url, { prefix: "/r/" });
  await store.grant({ address: A }, 0);
  const good = { instance: { address: B }, ttl: 0, asked: 0, incarnation: 1, state: "active", at: 0 };
  const bad: [string, unknown][] = [
    [B, "nonsense"],
    [B, "null"],
    [B, "[]"],
    [C, good],
    [B, { ...good, state: "constructor" }],
    [B, { ...good, ttl: "1" }],
    [B, { ...good, instance: { address: B, metadata: { a: "x".repeat(5_000) } } }],
    ["__proto__", good],
  ];
  for (const [key, value] of bad) {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    await etcd.ask("kv/put", { key: btoa(`/r/${key}`), value: btoa(text) });
  }
  await store.grant({ address: "tcp@127.0.0.1:4" }, 0);
  assertEquals(await addresses(store), [A, "tcp@127.0.0.1:4"]);
  // Nor does it keep a server from registering.
  assertEquals((await store.grant({ address: B }, 0)).created, true);
  await using another = new EtcdStore(etcd.url, { prefix: "/r/" });
  assertEquals(await addresses(another), [A, B, "tcp@127.0.0.1:4"]);
});

test("the next of several members is used when one is away", async (etcd) => {
  const gone = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  gone.close();
  await using store = new EtcdStore([`http://127.0.0.1:${gone.addr.port}`, etcd.url]);
  await until(() => answers(store), "the second member");
  await store.grant({ address: A }, 5_000);
  assertEquals((await store.renew(A))?.ttl, 5_000);
});

test("closing twice is fine, and closes it for all users", async (etcd) => {
  const store = new EtcdStore(etcd.url);
  await store.list();
  const follower = new Follower(store);
  await follower.until(() => follower.lists === 1);
  await store.close();
  await store.close();
  assertEquals((await assertRejects(() => store.list(), RpcError)).code, "unavailable");
  await follower[Symbol.asyncDispose]();
  assertEquals((follower.error as RpcError).code, "unavailable");
  await new EtcdStore(etcd.url).close();
});

test("a watch from a compacted revision starts over, and reports no outage", async (etcd) => {
  await using store = new EtcdStore(etcd.url);
  for (let weight = 0; weight < 10; weight++) await store.grant({ address: A, weight }, 0);
  const { revision } = await store.list();
  await etcd.ask("kv/compaction", { revision: String(revision) });
  const { signal } = new AbortController();
  const client = new EtcdClient({
    urls: [new URL(etcd.url)],
    fetch,
    clock: SYSTEM_CLOCK,
    timeout: 1_000,
    signal,
  });
  await assertRejects(() => client.watch("/troodon/registry/", 1, signal).next(), Compacted);
  assertEquals((await client.range("/troodon/registry/")).entries.length, 1);
});

Deno.test("etcd: invalid arguments are refused at once", () => {
  for (
    const url of ["", "foo", "etcd@http://127.0.0.1:2379", "127.0.0.1:2379", "ftp://a", "http://user:pw@a"]
  ) {
    const error = assertThrows(() => new EtcdStore(url), TypeError, "etcd URL");
    assertEquals(error.message.includes("pw"), false);
  }
  assertThrows(() => new EtcdStore([]), TypeError, "at least one");
  for (const prefix of ["", "a b", "ä", "/~"]) {
    assertThrows(() => new EtcdStore("http://a", { prefix }), TypeError, "prefix");
  }
  assertThrows(() => new EtcdStore("http://a", { timeout: 0 }), RangeError, "timeout");
  assertThrows(() => new EtcdStore("http://a", { maxInstances: 0 }), RangeError, "maxInstances");
});
