// The balancer "round_robin": the contract of every balancer, exactness, where it starts, and keeping its place.

import { assertEquals, assertLessOrEqual } from "@std/assert";
import { RoundRobinBalancer } from "../../discovery/round_robin.ts";
import { count, servers, testSpreadingBalancer } from "../support/contracts/balancer.ts";
import { seeded } from "../support/random.ts";

testSpreadingBalancer("round_robin", () => new RoundRobinBalancer({ random: seeded(1) }));

const next = (balancer: RoundRobinBalancer, exclude?: ReadonlySet<string>) =>
  Number(balancer.pick({ method: "Foo.sum", exclude })?.address.split(":")[1]);

Deno.test("round_robin: counts of any two servers differ by at most one", () => {
  const balancer = new RoundRobinBalancer();
  balancer.update(servers(1, 7));
  const total = new Map<string, number>();
  for (let i = 0; i < 1_000; i++) {
    for (const [address, n] of count(balancer, 1)) total.set(address, (total.get(address) ?? 0) + n);
    const shares = servers(1, 7).map(({ address }) => total.get(address) ?? 0);
    assertLessOrEqual(Math.max(...shares) - Math.min(...shares), 1);
  }
});

Deno.test("round_robin: starts anywhere", () => {
  const starts = new Set<number>();
  for (const place of [0, 0.3, 0.6, 0.999999]) {
    const balancer = new RoundRobinBalancer({ random: () => place });
    balancer.update(servers(1, 4));
    starts.add(next(balancer));
  }
  assertEquals(starts, new Set([1, 2, 3, 4]));
});

Deno.test("round_robin: continues from its position when servers come and go", () => {
  const balancer = new RoundRobinBalancer({ random: () => 0 });
  balancer.update(servers(3, 6));
  assertEquals([next(balancer), next(balancer)], [3, 4]);
  balancer.update(servers(1, 8));
  assertEquals([next(balancer), next(balancer)], [5, 6]);
  // The turn was 7's, which leaves: it is 8's then.
  balancer.update(servers(1, 8).filter(({ address }) => !address.endsWith(":7")));
  assertEquals([next(balancer), next(balancer)], [8, 1]);
});

Deno.test("round_robin: starts over when no server of the list is left", () => {
  const balancer = new RoundRobinBalancer({ random: () => 0.5 });
  balancer.update(servers(1, 4));
  next(balancer);
  balancer.update(servers(11, 14));
  assertEquals(next(balancer), 13);
});

Deno.test("round_robin: calls that exclude servers have their own turns", () => {
  const balancer = new RoundRobinBalancer({ random: () => 0 });
  balancer.update(servers(1, 3));
  const exclude = new Set(["tcp@127.0.0.1:1"]);
  const picks = Array.from({ length: 6 }, () => [next(balancer), next(balancer, exclude)]);
  assertEquals(picks, [[1, 3], [2, 2], [3, 3], [1, 2], [2, 3], [3, 2]]);
  // They keep their place when servers come and go: the turn was 1's, then 4's.
  balancer.update(servers(1, 4));
  assertEquals([next(balancer), next(balancer, exclude)], [1, 4]);
  // The turn was 3's, which leaves: it is 2's then.
  balancer.update(servers(1, 4).filter(({ address }) => !address.endsWith(":3")));
  assertEquals([next(balancer), next(balancer, exclude)], [2, 2]);
});

Deno.test("round_robin: where each call to one server is made a second time, the others get equal shares in all", () => {
  for (const place of [0, 0.3, 0.6, 0.99]) {
    for (const down of [1, 2, 3]) {
      const balancer = new RoundRobinBalancer({ random: () => place });
      balancer.update(servers(1, 3));
      const counts = [0, 0, 0, 0];
      for (let n = 1; n <= 100; n++) {
        const first = next(balancer);
        counts[first === down ? next(balancer, new Set([`tcp@127.0.0.1:${down}`])) : first]!++;
        const [one = 0, other = 0] = counts.filter((_, server) => server > 0 && server !== down);
        assertLessOrEqual(Math.abs(one - other), 2);
        if (n % 32 === 0) assertEquals(one, other);
      }
    }
  }
});

Deno.test("round_robin: when each call has a second pick, first picks and second picks are spread evenly", () => {
  for (const size of [2, 3, 5]) {
    const balancer = new RoundRobinBalancer();
    balancer.update(servers(1, size));
    const first = new Map<number, number>();
    const second = new Map<number, number>();
    for (let n = 0; n < 20 * size; n++) {
      const one = next(balancer);
      const other = next(balancer, new Set([`tcp@127.0.0.1:${one}`]));
      first.set(one, (first.get(one) ?? 0) + 1);
      second.set(other, (second.get(other) ?? 0) + 1);
    }
    assertEquals([...first.values(), ...second.values()], Array(2 * size).fill(20));
  }
});

Deno.test("round_robin: a pick looks at as many servers of 10 000 as of 10", () => {
  const looks = (size: number, exclude?: ReadonlySet<string>): number => {
    let count = 0;
    const list = new Proxy([...servers(1, size)], {
      get(target, property) {
        if (typeof property === "string" && /^\d+$/.test(property)) count++;
        return Reflect.get(target, property);
      },
    });
    const balancer = new RoundRobinBalancer({ random: seeded(1) });
    balancer.update(list);
    count = 0;
    for (let pick = 0; pick < 1_000; pick++) next(balancer, exclude);
    return count;
  };
  assertEquals([looks(10), looks(10_000)], [1_000, 1_000]);
  const exclude = new Set(["tcp@127.0.0.1:3"]);
  assertLessOrEqual(looks(10_000, exclude), looks(10, exclude));
});
