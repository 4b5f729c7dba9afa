// How much a client may send again.

import { assertEquals, assertLessOrEqual, assertThrows } from "@std/assert";
import { RetryBudget, type RetryBudgetOptions } from "../../client/retry_budget.ts";

/** A budget on a clock that a test moves. */
function create(options?: RetryBudgetOptions | false) {
  const clock = { now: 0 };
  return { clock, budget: new RetryBudget(options, () => clock.now) };
}

/** How many it gives out. */
function drain(budget: RetryBudget, most = 1_000_000): number {
  for (let taken = 0; taken < most; taken++) if (!budget.take()) return taken;
  return most;
}

Deno.test("retry budget: a fifth of the calls, and a reserve", () => {
  const { budget } = create();
  assertEquals(drain(budget), 100);
  budget.calls += 1_000;
  assertEquals(drain(budget), 200);
  assertEquals({ spent: budget.spent, refused: budget.refused, left: budget.left }, {
    spent: 300,
    refused: 2,
    left: false,
  });
  const own = create({ ratio: 0.5, reserve: 3 }).budget;
  own.calls += 10;
  assertEquals(drain(own), 8);
});

Deno.test("retry budget: when every call fails, retries stay at the ratio, at any rate", () => {
  for (const every of [0.1, 1, 10]) {
    const { clock, budget } = create();
    const calls = 600_000 / every;
    for (let n = 0; n < calls; n++) {
      clock.now += every;
      budget.calls++;
      // Up to three further attempts, as a call would make.
      for (let attempt = 0; attempt < 3; attempt++) if (!budget.take()) break;
    }
    // A minute has six times the reserve, which is per ten seconds; here are ten minutes.
    assertLessOrEqual(budget.spent, 0.2 * calls + 6_100);
  }
});

Deno.test("retry budget: idle times do not save up retries", () => {
  const { clock, budget } = create();
  // A call a second, for a day.
  budget.calls += 86_400;
  clock.now += 86_400_000;
  assertEquals(drain(budget), 102);
  // Recently used budget returns.
  clock.now += 60_000;
  assertEquals(drain(budget) > 90, true);
});

Deno.test("retry budget: none, or no limit", () => {
  assertEquals(drain(create({ ratio: 0, reserve: 0 }).budget), 0);
  assertEquals(drain(create(false).budget, 100_000), 100_000);
});

Deno.test("retry budget: a value that is not a number is refused by its name", () => {
  for (const value of [-1, NaN, "1" as unknown as number]) {
    assertThrows(() => create({ ratio: value }), RangeError, "retryBudget.ratio");
    assertThrows(() => create({ reserve: value }), RangeError, "retryBudget.reserve");
  }
});
