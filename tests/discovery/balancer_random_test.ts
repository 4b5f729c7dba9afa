// The balancer "random": the contract of every balancer, and that each server has the same chance.

import { assertLess } from "@std/assert";
import { RandomBalancer } from "../../discovery/random_balancer.ts";
import { count, servers, testSpreadingBalancer } from "../support/contracts/balancer.ts";
import { seeded } from "../support/random.ts";

testSpreadingBalancer("random", () => new RandomBalancer({ random: seeded(1) }));

/** Chi-square of what was counted against equal shares. */
function chiSquare(counts: Iterable<number>, expected: number): number {
  let sum = 0;
  for (const n of counts) sum += (n - expected) ** 2 / expected;
  return sum;
}

Deno.test("random: each server has the same chance (chi-square, p > 0.001)", () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const balancer = new RandomBalancer({ random: seeded(seed) });
    balancer.update(servers(1, 5));
    // 18.467 is what chi-square with 4 degrees of freedom passes once in a thousand times.
    assertLess(chiSquare(count(balancer, 10_000).values(), 2_000), 18.467);
  }
});

Deno.test("random: those that are left when some are excluded have the same chance too", () => {
  const balancer = new RandomBalancer({ random: seeded(7) });
  balancer.update(servers(1, 8));
  const exclude = new Set(servers(2, 4).map(({ address }) => address));
  assertLess(chiSquare(count(balancer, 10_000, exclude).values(), 2_000), 18.467);
});
