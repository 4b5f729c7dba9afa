// slowStart: the contract of every balancer, how shares grow, and when they do not.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { slowStart, type SlowStartOptions } from "../../balancing/slow_start.ts";
import type { Balancer } from "../../discovery/balancer.ts";
import { count, servers, testSpreadingBalancer } from "../support/contracts/balancer.ts";
import { seeded } from "../support/random.ts";
import { FakeClock } from "../support/fake_clock.ts";

for (const inner of ["random", "round_robin", "least_pending", "weighted_round_robin"] as const) {
  testSpreadingBalancer(`slow start of ${inner}`, () => slowStart(inner, { random: seeded(1) }));
}

function open(options: SlowStartOptions = {}) {
  const clock = new FakeClock();
  return { clock, balancer: slowStart("round_robin", { clock, random: seeded(7), ...options }) };
}

/** The share of the calls that a server gets, where 1 is an even one. */
function shareOf(balancer: Balancer, port: number, of: number): number {
  return (count(balancer, 10_000).get(`tcp@127.0.0.1:${port}`) ?? 0) / (10_000 / of);
}

Deno.test("slow start: a new server's share grows from a tenth to the full one", async () => {
  const { clock, balancer } = open();
  balancer.update(servers(1, 9));
  balancer.update(servers(1, 10));
  const shares = [shareOf(balancer, 10, 10)];
  for (let i = 0; i < 3; i++) {
    await clock.advance(10_000);
    shares.push(shareOf(balancer, 10, 10));
  }
  const [first, third, two, full] = shares as [number, number, number, number];
  assert(first < 0.2, `${shares}`);
  assert(third > first && third < 0.5, `${shares}`);
  assert(two > third && two < 0.8, `${shares}`);
  assert(full > 0.99, `${shares}`);
});

Deno.test("slow start: the window begins with the first successful call", async () => {
  const { clock, balancer } = open();
  balancer.update(servers(1, 9));
  balancer.update(servers(1, 10));
  await clock.advance(60_000);
  const fresh = { address: "tcp@127.0.0.1:10" };
  balancer.done!(fresh, { code: "unavailable", duration: 1 });
  assert(balancer.pick({ method: "S.m" }) !== undefined);
  assert(shareOf(balancer, 10, 10) < 0.2);
});

Deno.test("slow start: the first list, and one that is mostly new, start at once", () => {
  const { balancer } = open();
  balancer.update(servers(1, 4));
  assertEquals(shareOf(balancer, 1, 4), 1);
  balancer.update(servers(4, 9));
  assertEquals(Math.round(shareOf(balancer, 9, 6) * 100), 100);
});

Deno.test("slow start: a server that returns after an ejection starts slowly again", () => {
  const { balancer } = open();
  balancer.update(servers(1, 10));
  balancer.update(servers(1, 9));
  balancer.update(servers(1, 10));
  assert(shareOf(balancer, 10, 10) < 0.2);
});

Deno.test("slow start: in a rolling update of a fifth of the servers, no server gets 1.5 times its share", async () => {
  const { clock, balancer } = open();
  let list = servers(1, 50);
  balancer.update(list);
  for (let step = 0; step < 10; step++) {
    list = Object.freeze([...list.slice(1), { address: `tcp@10.0.0.${step}:1` }]);
    balancer.update(list);
    const counts = count(balancer, 50_000);
    for (const [address, calls] of counts) assert(calls < 1_500, `${address} got ${calls} of 1000`);
    await clock.advance(1_000);
  }
});

Deno.test("slow start: invalid options are refused", () => {
  for (const least of [0, -1, 1.1, NaN]) {
    assertThrows(() => slowStart("random", { least }), RangeError, "least");
  }
  assertThrows(() => slowStart("random", { window: 0 }), RangeError, "window");
  assertThrows(() => slowStart("random", { windows: 1 } as SlowStartOptions), TypeError, "windows");
  assertThrows(() => slowStart("fastest" as "random"), TypeError, "fastest");
});
