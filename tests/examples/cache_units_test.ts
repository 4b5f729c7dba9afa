// The parts of the cache example, one by one: its bound in bytes, its single flight, its ring, and a group's way with keys.

import { assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { RpcError } from "@troodon/rpc";
import {
  type CachedValue,
  checkCachedValue,
  MAX_VALUE_BYTES,
  type Value,
} from "../../examples/cache/contract.ts";
import { type Getter, Group, type GroupOptions } from "../../examples/cache/group.ts";
import { Lru } from "../../examples/cache/lru.ts";
import { createRing, ownerOn, type PeerPicker } from "../../examples/cache/peers.ts";
import { SingleFlight } from "../../examples/cache/single_flight.ts";
import { FakeClock } from "../support/fake_clock.ts";

const bytes = (length: number): Value => new Uint8Array(length);
const text = (value: string): Value => new TextEncoder().encode(value);
const read = (value: Value): string => new TextDecoder().decode(value);

Deno.test("cache: the least recently used go first, as soon as the bytes do not fit", () => {
  // A key of one letter, 34 bytes and the 64 of an entry are 100.
  const lru = new Lru(300);
  for (const key of ["a", "b", "c"]) assertEquals(lru.set(key, bytes(34)), true);
  assertEquals([lru.bytes, lru.size, lru.evicted], [300, 3, 0]);
  lru.get("a");
  lru.set("d", bytes(34));
  assertEquals(["a", "b", "c", "d"].filter((key) => lru.get(key)), ["a", "c", "d"]);
  lru.set("e", bytes(134));
  assertEquals(["a", "c", "d", "e"].filter((key) => lru.get(key)), ["d", "e"]);
  assertEquals([lru.bytes, lru.size, lru.evicted], [300, 2, 3]);
});

Deno.test("cache: a value in place of another counts once; one over the bound is not kept", () => {
  const lru = new Lru(300);
  lru.set("a", bytes(200));
  lru.set("a", bytes(10));
  assertEquals([lru.bytes, lru.size, lru.evicted], [76, 1, 0]);
  lru.set("b", bytes(0));
  assertEquals(lru.set("a", bytes(300)), false);
  // The old value is not served in its place, and it was not loaded.
  assertEquals([lru.get("a"), lru.bytes, lru.size, lru.evicted], [undefined, 66, 1, 0]);
  lru.delete("none");
  assertEquals(lru.bytes, 66);
  for (const bound of [-1, 1.5, NaN, Infinity]) assertThrows(() => new Lru(bound), RangeError, "maxBytes");
});

Deno.test("cache: the number of empty values is limited too", () => {
  const lru = new Lru(10_000);
  for (let i = 0; i < 10_000; i++) lru.set(String(i), bytes(0));
  assertEquals(lru.bytes <= 10_000 && lru.size < 150, true);
});

Deno.test("cache: a value is good until its time is over, and then gone", async () => {
  const clock = new FakeClock();
  const lru = new Lru(1_000, () => clock.now());
  lru.set("short", bytes(1), 50);
  lru.set("long", bytes(1));
  lru.set("none", bytes(1), 0);
  assertEquals(lru.set("not a number", bytes(1), NaN), false);
  await clock.advance(49);
  assertEquals(lru.get("short")?.value, bytes(1));
  await clock.advance(1);
  assertEquals([lru.get("short"), lru.get("none")], [undefined, undefined]);
  assertEquals([lru.size, lru.bytes], [1, 2 * 4 + 1 + 64]);
  await clock.advance(1e9);
  assertEquals(lru.get("long")?.value, bytes(1));
});

Deno.test("cache: simultaneous requests share one load, also its failure, and the next one tries again", async () => {
  const flight = new SingleFlight<number>();
  let runs = 0;
  const gate = Promise.withResolvers<number>();
  const work = () => {
    runs++;
    return gate.promise;
  };
  const all = Array.from({ length: 100 }, () => flight.run("a", work));
  const other = flight.run("b", () => Promise.resolve(2));
  assertEquals(await other, 2);
  gate.resolve(1);
  assertEquals(await Promise.all(all), Array(100).fill(1));
  assertEquals([runs, flight.size], [1, 0]);

  const fail = () => {
    runs++;
    throw new Error("no");
  };
  const failed = await Promise.allSettled([flight.run("a", fail), flight.run("a", fail)]);
  assertEquals(failed.map(({ status }) => status), ["rejected", "rejected"]);
  assertEquals([runs, flight.size], [2, 0]);
  assertEquals(await flight.run("a", () => Promise.resolve(3)), 3);
});

const KEYS = Array.from({ length: 20_000 }, (_, i) => `squares/${i}`);
const peersOf = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ address: `tcp@10.0.0.${i + 1}:9000` }));

function owners(count: number, order = (list: { address: string }[]) => list): (string | undefined)[] {
  const ring = createRing();
  ring.update(order(peersOf(count)));
  return KEYS.map((key) => ownerOn(ring, key));
}

Deno.test("cache: peers agree on the ring in whatever order they came, and share it about evenly", () => {
  const five = owners(5);
  assertEquals(owners(5, (list) => list.toReversed()), five);
  const shares = [...Map.groupBy(five, (owner) => owner).values()].map(({ length }) => length / KEYS.length);
  assertEquals(shares.length, 5);
  for (const share of shares) assertEquals(share > 0.15 && share < 0.25, true, `a share of ${share}`);
  assertEquals(ownerOn(createRing(), "squares/1"), undefined);
});

Deno.test("cache: a fifth peer takes a fifth of the keys, and no other key moves", () => {
  const [four, five] = [owners(4), owners(5)];
  const moved = KEYS.filter((_, i) => four[i] !== five[i]);
  const share = moved.length / KEYS.length;
  assertEquals(share > 0.15 && share < 0.25, true, `moved ${share}`);
  const newcomer = peersOf(5)[4]!.address;
  assertEquals(KEYS.filter((_, i) => five[i] === newcomer), moved);
});

Deno.test("cache: a key stays with its owner, however many calls it has", () => {
  const ring = createRing();
  ring.update(peersOf(3));
  const owner = ownerOn(ring, "squares/1");
  // Calls under way, for which a ring with bounded load would send further ones to others.
  for (let i = 0; i < 1_000; i++) {
    assertEquals(ring.pick({ method: "Cache.get", key: "squares/1" })?.address, owner);
    assertEquals(ownerOn(ring, "squares/1"), owner);
  }
});

/** A group, with a record of what its getter and its peers were asked. */
function rig(
  getter: Getter,
  options: GroupOptions & { peer?: (key: string) => Promise<CachedValue> | CachedValue } = {},
) {
  const { peer, ...others } = options;
  const loaded: string[] = [];
  const asked: string[] = [];
  const peers: PeerPicker | undefined = peer && {
    ownerOf: (_group, key) => key.startsWith("far") ? "tcp@10.0.0.1:9000" : undefined,
    fetch: async (_group, key) => {
      asked.push(key);
      return await peer(key);
    },
  };
  const group = new Group("g", (key, signal) => {
    loaded.push(key);
    return getter(key, signal);
  }, { peers, ...others });
  return { group, loaded, asked };
}

async function codeOf(got: unknown): Promise<string> {
  return (await assertRejects(async () => await got, RpcError)).code;
}

Deno.test("cache: a miss is loaded once, then found; a value that does not exist is asked for again", async () => {
  const { group, loaded } = rig((key) => key === "no" ? undefined : text(key));
  const cold = await Promise.all(Array.from({ length: 1_000 }, () => group.get("a")));
  assertEquals([loaded.length, cold[0]!.from, read(cold[999]!.value)], [1, "getter", "a"]);
  assertEquals((await group.get("a")).from, "main");
  assertEquals(await codeOf(group.get("no")), "not_found");
  assertEquals(await codeOf(group.get("no")), "not_found");
  assertEquals(loaded, ["a", "no", "no"]);
  const { gets, mainHits, misses, loads, loadErrors, bytes } = group.stats();
  assertEquals([gets, mainHits, misses, loads, loadErrors, bytes], [1_003, 1, 1_002, 3, 0, 67]);
});

Deno.test("cache: a getter's error is not leaked, and the next load works", async () => {
  let fails = true;
  const log: string[] = [];
  const { group } = rig((key) => {
    if (fails) throw key === "busy" ? new RpcError("unavailable", "Too busy") : new Error("password is 123");
    return text("fine");
  }, { log: (line) => log.push(line) });
  const error = await assertRejects(async () => await group.get("a"), RpcError);
  assertEquals([error.code, error.message], ["internal", 'Cannot load "a" of g: its getter failed']);
  assertEquals(log.length === 1 && log[0]!.includes("password is 123"), true);
  assertEquals(await codeOf(group.get("busy")), "unavailable");
  fails = false;
  assertEquals(read((await group.get("a")).value), "fine");
  assertEquals(group.stats().loadErrors, 2);
});

Deno.test("cache: a getter that hangs fails its callers after loadTimeout, and the next one tries again", async () => {
  let calls = 0;
  const aborted = Promise.withResolvers<void>();
  const { group } = rig((_, signal) => {
    if (++calls > 1) return text("fine");
    signal.addEventListener("abort", () => aborted.resolve());
    return new Promise(() => {});
  }, { loadTimeout: 1 });
  const [first, second] = [group.get("a"), group.get("a")];
  assertEquals([await codeOf(first), await codeOf(second), calls], ["unavailable", "unavailable", 1]);
  await aborted.promise;
  assertEquals(read((await group.get("a")).value), "fine");
});

Deno.test("cache: a value that is too long is refused, and part of a larger buffer is copied out of it", async () => {
  const { group } = rig((key) => key === "long" ? bytes(MAX_VALUE_BYTES + 1) : bytes(1_000).subarray(0, 10));
  const error = await assertRejects(
    async () => await group.get("long"),
    RpcError,
    `${MAX_VALUE_BYTES + 1} bytes`,
  );
  assertEquals(error.code, "internal");
  assertEquals((await group.get("part")).value.buffer.byteLength, 10);
});

Deno.test("cache: values expire, and copies of others' values do not outlive them", async () => {
  const clock = new FakeClock();
  const now = () => clock.now();
  const { group, loaded, asked } = rig(text, {
    ttl: 1_000,
    hotTtl: 300,
    now,
    peer: (key) => key === "far, old" ? { value: text(key), ttl: 50 } : { value: text(key) },
  });
  await group.get("a");
  assertEquals(await group.serve("a"), { value: text("a"), ttl: 1_000 });
  for (const key of ["far", "far, old"]) assertEquals((await group.get(key)).from, "peer");
  await clock.advance(50);
  assertEquals((await group.get("far")).from, "hot");
  assertEquals((await group.get("far, old")).from, "peer");
  assertEquals((await group.serve("a")).ttl, 950);
  await clock.advance(250);
  assertEquals((await group.get("far")).from, "peer");
  await clock.advance(700);
  assertEquals((await group.get("a")).from, "getter");
  assertEquals([loaded, asked], [["a", "a"], ["far", "far, old", "far, old", "far"]]);
  assertEquals(group.stats().served, 2);
});

Deno.test("cache: values of other peers use at most an eighth of the bytes and evict none of its own", async () => {
  const { group } = rig(() => bytes(34), { maxBytes: 1_600, peer: () => ({ value: bytes(28) }) });
  for (const key of "abcdefghijklmn") await group.get(key);
  for (let i = 0; i < 100; i++) await group.get(`far${i}`);
  for (const key of "abcdefghijklmn") assertEquals((await group.get(key)).from, "main");
  // 200 bytes for others' keys: one of 102.
  assertEquals([group.stats().bytes, group.stats().entries], [1_502, 15]);
});

Deno.test("cache: simultaneous requests for another peer's key are one fetch", async () => {
  const { group, loaded, asked } = rig(text, { peer: (key) => ({ value: text(`from afar: ${key}`) }) });
  const all = await Promise.all(Array.from({ length: 100 }, () => group.get("far")));
  assertEquals(all.every(({ value, from }) => from === "peer" && read(value) === "from afar: far"), true);
  assertEquals([loaded, asked, group.stats().peerFetches], [[], ["far"], 1]);
});

Deno.test("cache: errors of the owner's getter are passed on; an unreachable owner is no error", async () => {
  const said = (code: RpcError["code"], about: object) => () =>
    Promise.reject(new RpcError(code, "No", about));
  for (const code of ["not_found", "internal", "unavailable"] as const) {
    const { group, loaded } = rig(text, { peer: said(code, { remote: true }) });
    assertEquals(await codeOf(group.get("far")), code);
    assertEquals(loaded, []);
  }
  const away = [
    said("unavailable", { notStarted: true }),
    said("unavailable", {}),
    said("deadline_exceeded", {}),
    said("deadline_exceeded", { remote: true }),
    said("resource_exhausted", { remote: true, notStarted: true }),
    said("failed_precondition", { remote: true }),
    said("data_loss", {}),
  ];
  for (const peer of away) {
    const { group, loaded } = rig(text, { peer });
    const [one, two] = await Promise.all([group.get("far"), group.get("far")]);
    assertEquals([one.from, read(one.value)], ["getter", "far"]);
    assertStrictEquals(one.value, two.value);
    assertEquals((await group.get("far")).from, "hot");
    assertEquals([loaded, group.stats().peerFailures], [["far"], 1]);
  }
});

Deno.test("cache: a key that is asked for here and by a peer at once is loaded once", async () => {
  const { group, loaded } = rig(text, { peer: () => ({ value: text("") }) });
  const [got, kept] = await Promise.all([group.get("a"), group.serve("a")]);
  assertStrictEquals(got.value, kept.value);
  assertEquals(loaded, ["a"]);
});

Deno.test("cache: groups refuse invalid names and times", () => {
  for (const name of ["", "a/b", "<b>", "x".repeat(65)]) {
    assertThrows(() => new Group(name, text), TypeError, "Cannot name a group");
  }
  assertThrows(() => new Group("g", text, { ttl: 0 }), RangeError, "Cannot use ttl 0");
  for (const option of ["ttl", "hotTtl", "loadTimeout"]) {
    assertThrows(() => new Group("g", text, { [option]: NaN }), RangeError, `Cannot use ${option} NaN`);
  }
});

Deno.test("cache: the example uses only the public API", async () => {
  const folder = new URL("../../examples/cache/", import.meta.url);
  const imported = new Set<string>();
  for await (const { name } of Deno.readDir(folder)) {
    if (!name.endsWith(".ts")) continue;
    const source = await Deno.readTextFile(new URL(name, folder));
    for (const [, specifier] of source.matchAll(/ from "([^"]+)"/g)) imported.add(specifier!);
  }
  assertEquals([...imported].filter((specifier) => !specifier.startsWith("./")).sort(), [
    "@std/cli",
    "@troodon/rpc",
    "@troodon/rpc/discovery",
    "@troodon/rpc/server",
  ]);
});

Deno.test("cache: an answer of a peer without a value, or with an invalid ttl, is refused", () => {
  const value = text("x");
  assertEquals(checkCachedValue({ value, ttl: 5 }), { value, ttl: 5 });
  assertEquals(checkCachedValue({ value }), { value, ttl: undefined });
  for (
    const kept of [
      null,
      {},
      { value: "x" },
      ...[NaN, Infinity, -Infinity, "5"].map((ttl) => ({ value, ttl })),
    ]
  ) {
    const error = assertThrows(
      () => checkCachedValue(kept as CachedValue),
      RpcError,
      "Cannot use the response of a peer",
    );
    assertEquals(error.code, "data_loss");
  }
});
