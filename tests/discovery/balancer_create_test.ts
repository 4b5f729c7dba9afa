// Balancers by name.

import { assertEquals, assertInstanceOf, assertStrictEquals, assertThrows } from "@std/assert";
import type { Balancer } from "../../discovery/balancer.ts";
import { type BalancerName, createBalancer } from "../../discovery/create_balancer.ts";
import { RandomBalancer } from "../../discovery/random_balancer.ts";
import { RoundRobinBalancer } from "../../discovery/round_robin.ts";

Deno.test("createBalancer makes a new balancer for each client", () => {
  assertInstanceOf(createBalancer("random"), RandomBalancer);
  assertInstanceOf(createBalancer("round_robin"), RoundRobinBalancer);
  const one = createBalancer("random");
  assertEquals(one === createBalancer("random"), false);
});

Deno.test("createBalancer takes a balancer as it is", () => {
  const own: Balancer = { update: () => {}, pick: () => undefined };
  assertStrictEquals(createBalancer(own), own);
});

Deno.test("createBalancer lists the known names if given an unknown one", () => {
  for (const name of ["weighted", "constructor", "__proto__", ""]) {
    const create = () => createBalancer(name as BalancerName);
    assertThrows(
      create,
      TypeError,
      `Cannot create balancer "${name}": expected "random", "round_robin", "weighted_round_robin", ` +
        `"least_pending", "consistent_hash" or a Balancer`,
    );
  }
  assertThrows(
    () => createBalancer("round-robin" as BalancerName),
    TypeError,
    'did you mean "round_robin"?',
  );
  for (const none of [undefined, null, 7, {}, { pick() {} }]) {
    assertThrows(() => createBalancer(none as unknown as Balancer), TypeError, "Cannot use balancer");
  }
});
