// The balancer "weighted_round_robin": the contract of every balancer, exact shares, smoothness, and changes of the list.

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import type { Endpoint } from "../../discovery/endpoint.ts";
import { WeightedRoundRobinBalancer } from "../../discovery/weighted_round_robin.ts";
import { count, servers, testSpreadingBalancer } from "../support/contracts/balancer.ts";
import { seeded } from "../support/random.ts";

testSpreadingBalancer("weighted_round_robin", () => new WeightedRoundRobinBalancer({ random: seeded(1) }));

/** Servers named by letters, with these weights. */
function weighted(weights: Readonly<Record<string, number | undefined>>): readonly Endpoint[] {
  return Object.entries(weights).map(([address, weight]) => ({ address, weight }));
}

function create(weights: Readonly<Record<string, number | undefined>>, random = () => 0) {
  const balancer = new WeightedRoundRobinBalancer({ random });
  balancer.update(weighted(weights));
  return balancer;
}

const order = (balancer: WeightedRoundRobinBalancer, picks: number, exclude?: ReadonlySet<string>) =>
  Array.from({ length: picks }, () => balancer.pick({ method: "Foo.sum", exclude })?.address).join("");

const shares = (picks: string) =>
  Object.fromEntries(Map.groupBy(picks, (name) => name).entries().map(([n, { length }]) => [n, length]));

Deno.test("weighted_round_robin: spreads the picks of each server over the round, as nginx does", () => {
  assertEquals(order(create({ a: 5, b: 1, c: 1 }), 14), "aabacaaaabacaa");
  assertEquals(order(create({ a: 4, b: 2 }), 6), "abaaba");
});

Deno.test("weighted_round_robin: each round gives each server its weight exactly, wherever it begins", () => {
  const cases = [{ a: 1, b: 1, c: 1 }, { a: 7, b: 3, c: 2, d: 1 }, { a: 100, b: 1 }, {
    a: 600,
    b: 400,
    c: 200,
  }];
  for (const weights of cases) {
    const divisor = weights.a === 600 ? 200 : 1;
    const round = Object.values(weights).reduce((sum, weight) => sum + weight, 0) / divisor;
    for (const place of [0, 0.3, 0.77]) {
      const balancer = create(weights, () => place);
      for (let n = 0; n < 5; n++) {
        const expected = Object.entries(weights).map(([name, weight]) => [name, weight / divisor]);
        assertEquals(shares(order(balancer, round)), Object.fromEntries(expected));
      }
    }
  }
});

Deno.test("weighted_round_robin: at no time is a server off its share by a pick or more", () => {
  const weights: Readonly<Record<string, number>> = { a: 9, b: 6, c: 4, d: 1 };
  const balancer = create(weights);
  const counts: Record<string, number> = { a: 0, b: 0, c: 0, d: 0 };
  for (let picks = 1; picks <= 2_000; picks++) {
    counts[order(balancer, 1)]!++;
    for (const [name, weight] of Object.entries(weights)) {
      assertLessOrEqual(Math.abs(counts[name]! - picks * weight / 20), 1);
    }
  }
});

Deno.test("weighted_round_robin: weights that are no whole numbers, or far apart, hold too", () => {
  const fractions = create({ a: 0.5, b: 0.25, c: 0.25 });
  assertEquals(shares(order(fractions, 4_000)), { a: 2_000, b: 1_000, c: 1_000 });
  const apart = shares(order(create({ a: 999_983, b: 99_991, c: 1 }), 11_000));
  assertLessOrEqual(Math.abs(apart.a! - 10_000), 1);
  assertLessOrEqual(Math.abs(apart.b! - 1_000), 1);
});

Deno.test("weighted_round_robin: weight 0 gets nothing unless there is no other; no weight is 1", () => {
  assertEquals(shares(order(create({ a: 0, b: 2, c: undefined, d: 0 }), 300)), { b: 200, c: 100 });
  assertEquals(shares(order(create({ a: 0, b: 0 }), 100)), { a: 50, b: 50 });
  assertEquals(order(create({ a: 0, b: 2 }), 3, new Set("b")), "aaa");
});

Deno.test("weighted_round_robin: many clients that start together do not all begin with the heaviest server", () => {
  const random = seeded(3);
  const starts = Array.from({ length: 700 }, () => order(create({ a: 5, b: 1, c: 1 }, random), 1)).join("");
  const { a = 0, b = 0, c = 0 } = shares(starts);
  for (const [got, expected] of [[a, 500], [b, 100], [c, 100]] as const) {
    assertLessOrEqual(Math.abs(got - expected), 50);
  }
});

Deno.test("weighted_round_robin: an update with the same list does not start over", () => {
  const balancer = create({ a: 5, b: 1, c: 1 });
  let picks = "";
  for (let n = 0; n < 14; n++) {
    picks += order(balancer, 1);
    balancer.update(weighted({ a: 5, b: 1, c: 1 }));
  }
  assertEquals(picks, "aabacaaaabacaa");
});

Deno.test("weighted_round_robin: shares hold over changes of the list, and are exact again soon after one", () => {
  const balancer = create({ a: 5, b: 2, c: 1 });
  const with_ = { a: 5, b: 2, c: 1, d: 4 };
  const without = { a: 5, b: 2, c: 1 };
  let picks = "";
  for (let n = 0; n < 400; n++) {
    balancer.update(weighted(n % 2 === 0 ? with_ : without));
    picks += order(balancer, 3).replaceAll("d", "");
  }
  const { a = 0, b = 0, c = 0 } = shares(picks);
  for (const [got, share] of [[a, 5], [b, 2], [c, 1]] as const) {
    assertLessOrEqual(Math.abs(got / picks.length - share / 8), 0.03);
  }
  balancer.update(weighted(with_));
  order(balancer, 24);
  for (let n = 0; n < 3; n++) assertEquals(shares(order(balancer, 12)), { ...with_ });
});

Deno.test("weighted_round_robin: weights that change after a few calls each keep their proportions", () => {
  for (const scale of [0.01, 0.1, 1, 10, 1_000]) {
    for (const every of [1, 2, 3, 7]) {
      const balancer = new WeightedRoundRobinBalancer({ random: () => 0 });
      let regular = "";
      let retries = "";
      for (let n = 0; n < 2_000; n++) {
        const more = n / every % 2 < 1 ? 1 : 1.02;
        if (n % every === 0) balancer.update(weighted({ a: 5 * more * scale, b: 3 * scale, c: 2 * scale }));
        regular += order(balancer, 1);
        retries += order(balancer, 1, new Set("a"));
      }
      const what = `in units of ${scale}, changed every ${every} calls`;
      const { a = 0, b = 0, c = 0 } = shares(regular);
      for (const [got, share] of [[a, 0.5], [b, 0.3], [c, 0.2]] as const) {
        assertLessOrEqual(Math.abs(got / 2_000 - share), 0.01, `${what}: ${a} ${b} ${c}`);
      }
      assertLessOrEqual(Math.abs(shares(retries).b! / 2_000 - 0.6), 0.01, `${what}, second picks`);
    }
  }
});

Deno.test("weighted_round_robin: calls that exclude servers have their own turns, by weight", () => {
  const balancer = create({ a: 5, b: 2, c: 1 });
  let regular = "";
  let retries = "";
  for (let n = 0; n < 240; n++) {
    regular += order(balancer, 1);
    retries += order(balancer, 1, new Set("a"));
  }
  assertEquals(shares(regular), { a: 150, b: 60, c: 30 });
  assertEquals(shares(retries), { b: 160, c: 80 });
});

Deno.test("weighted_round_robin: a thousand servers are picked from a table", () => {
  const balancer = new WeightedRoundRobinBalancer({ random: () => 0 });
  const many = servers(1, 1_000);
  balancer.update(many);
  assertEquals(new Set(count(balancer, 1_000).values()), new Set([1]));
  // In the second round no server is looked at but the one that is picked.
  let looked = 0;
  const watched = many.map((endpoint) => ({
    get address() {
      looked++;
      return endpoint.address;
    },
  }));
  balancer.update(watched);
  looked = 0;
  for (let n = 0; n < 1_000; n++) assert(balancer.pick({ method: "Foo.sum" }) !== undefined);
  assertEquals(looked, 0);
});
