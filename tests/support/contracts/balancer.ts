// What every Balancer must do, and what only those must do that spread calls over all servers. Run by the test of each.

import { assertEquals } from "@std/assert";
import type { Balancer } from "../../../discovery/balancer.ts";
import type { Endpoint } from "../../../discovery/endpoint.ts";

const METHOD = "Foo.sum";

/** A frozen list of servers on ports `from` up to `to`. */
export function servers(from: number, to: number): readonly Endpoint[] {
  const list = Array.from({ length: to - from + 1 }, (_, i) => ({ address: `tcp@127.0.0.1:${from + i}` }));
  return Object.freeze(list);
}

/** How many of `picks` calls, one after the other, each server got, by address. */
export function count(balancer: Balancer, picks: number, exclude?: ReadonlySet<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i < picks; i++) {
    const endpoint = balancer.pick({ method: METHOD, key: `key ${i}`, exclude });
    if (endpoint !== undefined) balancer.done?.(endpoint, { duration: 1 });
    const address = endpoint?.address ?? "none";
    counts.set(address, (counts.get(address) ?? 0) + 1);
  }
  return counts;
}

const addresses = (list: readonly Endpoint[]) => list.map(({ address }) => address).sort();

function assertIncludes(picked: Iterable<string>, list: readonly Endpoint[]): void {
  const known = new Set(addresses(list));
  assertEquals([...picked].filter((address) => !known.has(address)), []);
}

/** Registers the tests that every balancer passes. `create` makes a balancer without servers. */
export function testBalancer(name: string, create: () => Balancer): void {
  const test = (what: string, run: (balancer: Balancer) => void) =>
    Deno.test(`${name}: ${what}`, () => run(create()));

  test("picks no server from an empty list, initially and after servers left", (balancer) => {
    assertEquals(balancer.pick({ method: METHOD }), undefined);
    balancer.update([]);
    assertEquals(balancer.pick({ method: METHOD }), undefined);
    balancer.update(servers(1, 3));
    balancer.update([]);
    assertEquals(balancer.pick({ method: METHOD }), undefined);
  });

  test("picks the only server, unchanged", (balancer) => {
    const [only] = servers(1, 1);
    balancer.update([only!]);
    for (let i = 0; i < 10; i++) assertEquals(balancer.pick({ method: METHOD }) === only, true);
  });

  test("always picks a server of the list", (balancer) => {
    balancer.update(servers(1, 5));
    assertIncludes(count(balancer, 1_000).keys(), servers(1, 5));
  });

  test("never picks an excluded server, and always another", (balancer) => {
    balancer.update(servers(1, 4));
    const exclude = new Set(["tcp@127.0.0.1:2", "tcp@127.0.0.1:4", "tcp@127.0.0.1:9"]);
    assertIncludes(count(balancer, 1_000, exclude).keys(), [...servers(1, 1), ...servers(3, 3)]);
    assertEquals(count(balancer, 100, new Set()).has("none"), false);
  });

  test("picks no server if the call excludes all", (balancer) => {
    for (const list of [servers(1, 1), servers(1, 3)]) {
      balancer.update(list);
      assertEquals(balancer.pick({ method: METHOD, exclude: new Set(addresses(list)) }), undefined);
      assertEquals(balancer.pick({ method: METHOD }) !== undefined, true);
    }
  });

  test("picks from the latest list", (balancer) => {
    for (const [from, to] of [[1, 6], [4, 9], [4, 4], [1, 2], [2, 7]] as const) {
      balancer.update(servers(from, to));
      assertIncludes(count(balancer, 1_000).keys(), servers(from, to));
    }
  });

  test("accepts results of calls to removed servers", (balancer) => {
    balancer.update(servers(1, 2));
    const picked = balancer.pick({ method: METHOD })!;
    balancer.update(servers(3, 4));
    balancer.done?.(picked, { duration: 1 });
    balancer.done?.(picked, { duration: 1, code: "unavailable" });
    assertIncludes(count(balancer, 1_000).keys(), servers(3, 4));
  });
}

/** Registers the tests of {@linkcode testBalancer}, and those of balancers that spread calls over all servers. */
export function testSpreadingBalancer(name: string, create: () => Balancer): void {
  testBalancer(name, create);
  const test = (what: string, run: (balancer: Balancer) => void) =>
    Deno.test(`${name}: ${what}`, () => run(create()));
  const picksAll = (balancer: Balancer, list: readonly Endpoint[], exclude?: ReadonlySet<string>) =>
    assertEquals([...count(balancer, 1_000, exclude).keys()].sort(), addresses(list));

  test("picks every server eventually", (balancer) => {
    balancer.update(servers(1, 5));
    picksAll(balancer, servers(1, 5));
  });

  test("picks every server that is not excluded eventually", (balancer) => {
    balancer.update(servers(1, 4));
    picksAll(balancer, [...servers(1, 1), ...servers(3, 3)], new Set(["tcp@127.0.0.1:2", "tcp@127.0.0.1:4"]));
  });

  test("picks every server of each new list eventually", (balancer) => {
    for (const [from, to] of [[1, 6], [4, 9], [4, 4], [1, 2], [2, 7]] as const) {
      balancer.update(servers(from, to));
      picksAll(balancer, servers(from, to));
    }
  });
}
