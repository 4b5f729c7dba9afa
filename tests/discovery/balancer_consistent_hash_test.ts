// The balancer "consistent_hash": the contract of every balancer, how keys spread, what moves when servers come and go,
// and that load is bounded.

import { assert, assertEquals, assertLess, assertLessOrEqual, assertThrows } from "@std/assert";
import { createBalancer } from "../../discovery/create_balancer.ts";
import type { Balancer } from "../../discovery/balancer.ts";
import { ConsistentHashBalancer } from "../../discovery/consistent_hash.ts";
import type { Endpoint } from "../../discovery/endpoint.ts";
import { hashText } from "../../discovery/hash.ts";
import { count, servers, testSpreadingBalancer } from "../support/contracts/balancer.ts";
import { seeded } from "../support/random.ts";

testSpreadingBalancer("consistent_hash", () => new ConsistentHashBalancer({ random: seeded(1) }));

const KEYS = 100_000;

/** Where the keys are, when nothing else is going on. */
function places(balancer: Balancer, keys = KEYS, key = (n: number) => `user:${n}`): string[] {
  return Array.from({ length: keys }, (_, n) => {
    const endpoint = balancer.pick({ method: "Cache.get", key: key(n) })!;
    balancer.done?.(endpoint, { duration: 1 });
    return endpoint.address;
  });
}

function create(list: readonly Endpoint[]): ConsistentHashBalancer {
  const balancer = new ConsistentHashBalancer({ random: seeded(1) });
  balancer.update(list);
  return balancer;
}

/** Servers on machines of their own. */
const machines = (size: number, net = 0) =>
  Array.from({ length: size }, (_, n) => ({ address: `tcp@10.${net}.0.${n + 1}:9999` }));

const most = (where: readonly string[]) =>
  Math.max(...Map.groupBy(where, (address) => address).values().map(({ length }) => length));

Deno.test("consistent_hash: of 10 servers and 1e5 keys, the largest share is within 1.25 of the mean", () => {
  const random = seeded(9);
  const letters = () => Math.floor(random() * 2 ** 32).toString(36);
  const kinds = [
    (n: number) => `user:${n}`,
    (n: number) => `${n}`,
    () => letters(),
    (n: number) => "k".repeat(n % 300) + n,
  ];
  for (const key of kinds) {
    assertLess(most(places(create(machines(10)), KEYS, key)) / (KEYS / 10), 1.25);
  }
  // On other addresses too, such as those of one machine.
  for (let net = 0; net < 20; net++) {
    assertLess(most(places(create(machines(10, net)), 20_000)) / 2_000, 1.25);
    assertLess(most(places(create(servers(9_000 + net * 10, 9_009 + net * 10)), 20_000)) / 2_000, 1.25);
  }
});

Deno.test("consistent_hash: a new server moves at most 1/N + 3 points, and only onto itself; one that leaves only its own", () => {
  for (const size of [2, 5, 10, 20]) {
    const balancer = create(machines(size));
    const before = places(balancer);
    const more = machines(size + 1);
    const added = more.at(-1)!.address;
    balancer.update(more);
    const after = places(balancer);
    const moved = after.filter((address, n) => address !== before[n]);
    assertLessOrEqual(moved.length / KEYS, 1 / (size + 1) + 0.03);
    assertEquals(new Set(moved), new Set([added]));
    balancer.update(machines(size));
    assertEquals(places(balancer), before);
  }
});

Deno.test("consistent_hash: the ring is the same whatever the order of the list, in every process", () => {
  const list = machines(10);
  const expected = places(create(list), 2_000);
  assertEquals(places(create(list.toReversed()), 2_000), expected);
  const shuffled = create(list.slice(5));
  shuffled.update([...list.slice(3), ...list.slice(0, 3)]);
  assertEquals(places(shuffled, 2_000), expected);
  // Written down once: another version must not put all keys elsewhere.
  assertEquals(places(create(machines(10)), 5).map((address) => Number(address.split(/[.:]/)[3])), PLACES);
  assertEquals(["", "a", "user:1", "tcp@10.0.0.1:9999"].map(hashText), HASHES);
});

const PLACES = [9, 1, 9, 2, 1];
/** As a program in another language worked them out. */
const HASHES = [2872998923, 444641715, 1763983599, 1488588514];

Deno.test("consistent_hash: a key stays where it is while calls run side by side", () => {
  const balancer = create(machines(10));
  const alone = places(balancer, 1_000);
  const random = seeded(4);
  const running: Endpoint[] = [];
  for (let n = 0; n < 50_000; n++) {
    const key = Math.floor(random() * 1_000);
    const endpoint = balancer.pick({ method: "Cache.get", key: `user:${key}` })!;
    assertEquals(endpoint.address, alone[key]);
    running.push(endpoint);
    if (running.length > 64) balancer.done(running.splice(Math.floor(random() * 64), 1)[0]!);
  }
});

Deno.test("consistent_hash: no server has more than its bound, however hot a key is", () => {
  for (const loadFactor of [1.1, 1.25, 2]) {
    const balancer = createBalancer("consistent_hash", { loadFactor });
    balancer.update(machines(10));
    const pending = new Map<string, number>();
    for (let total = 1; total <= 5_000; total++) {
      const { address } = balancer.pick({ method: "Cache.get", key: "hot" })!;
      pending.set(address, (pending.get(address) ?? 0) + 1);
      assertLessOrEqual(pending.get(address)!, Math.ceil(loadFactor * total / 10) + 16);
    }
    // Calls that exceed the bound move along the ring.
    assertEquals(pending.size, Math.ceil(5_000 / (Math.ceil(loadFactor * 500) + 16)));
    for (const [address, calls] of pending) {
      for (let n = 0; n < calls; n++) balancer.done?.({ address }, { duration: 1 });
    }
    assertEquals(new Set(places(balancer, 10, () => "hot")).size, 1);
  }
  const any = createBalancer("consistent_hash", { loadFactor: Infinity });
  any.update(machines(10));
  const picked = Array.from({ length: 1_000 }, () => any.pick({ method: "Cache.get", key: "hot" })!.address);
  assertEquals(new Set(picked).size, 1);
});

Deno.test("consistent_hash: load is kept when the list changes, and dropped for removed servers", () => {
  const balancer = create(machines(2));
  const [first] = places(balancer, 1);
  for (let n = 0; n < 15; n++) balancer.pick({ method: "Cache.get", key: "user:0" });
  balancer.update(machines(2).toReversed());
  // 16 besides the bound of ceil(1.25 * total / 2): the overflow comes where it would have come.
  let more = 0;
  while (balancer.pick({ method: "Cache.get", key: "user:0" })!.address === first) more++;
  assertEquals(15 + more, 45);
  balancer.update(machines(2).filter(({ address }) => address !== first));
  balancer.update(machines(2));
  assertEquals(balancer.pick({ method: "Cache.get", key: "user:0" })!.address, first);
});

Deno.test("consistent_hash: an excluded server is skipped for the next on the ring", () => {
  const balancer = create(machines(5));
  for (const [n, address] of places(balancer, 500).entries()) {
    const call = { method: "Cache.get", key: `user:${n}`, exclude: new Set([address]) };
    const next = balancer.pick(call)!;
    balancer.done(next);
    assert(next.address !== address);
    balancer.update(machines(5).filter((each) => each.address !== address));
    assertEquals(places(balancer, 1, () => call.key), [next.address]);
    balancer.update(machines(5));
  }
});

Deno.test("consistent_hash: calls without a key go to any server", () => {
  const balancer = create(machines(5));
  const counts = [
    ...Map.groupBy(places(balancer, 10_000, () => undefined as unknown as string), (a) => a).values(),
  ];
  assertEquals(counts.length, 5);
  for (const { length } of counts) assertLess(Math.abs(length - 2_000), 600);
  assertEquals(count(balancer, 1).size, 1);
});

Deno.test("consistent_hash: a key that is not a string is refused", () => {
  const balancer = create(machines(2));
  for (const key of [7, null, {}]) {
    assertThrows(() => balancer.pick({ method: "Cache.get", key: key as string }), TypeError, "key of type");
  }
});

Deno.test("consistent_hash: an invalid loadFactor is refused", () => {
  for (const loadFactor of [1, 0, -2, NaN, "2" as unknown as number]) {
    assertThrows(() => createBalancer("consistent_hash", { loadFactor }), RangeError, "loadFactor");
  }
});
