// The balancer "least_pending": the contract of every balancer, and what slow, failing, new and recovering servers get, in
// simulations on a clock of their own.

import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import type { Code } from "../../call/error.ts";
import type { Clock } from "../../discovery/clock.ts";
import type { Endpoint } from "../../discovery/endpoint.ts";
import { LeastPendingBalancer } from "../../discovery/least_pending.ts";
import { servers, testSpreadingBalancer } from "../support/contracts/balancer.ts";
import { seeded } from "../support/random.ts";

testSpreadingBalancer("least_pending", () => new LeastPendingBalancer({ random: seeded(1) }));

/** Calls to servers that take as long as they take, one after the other for each server or side by side. */
class Simulation {
  readonly balancer: LeastPendingBalancer;
  readonly picks = new Map<string, number>();
  readonly #running: { ends: number; began: number; endpoint: Endpoint; code?: Code }[] = [];
  #now = 0;

  constructor(readonly took: (address: string) => number | Code, seed = 1) {
    const clock: Clock = { now: () => this.#now, setTimer: () => () => {} };
    this.balancer = new LeastPendingBalancer({ random: seeded(seed), clock });
  }

  /** Calls for `ms`, one call every `every` ms. */
  run(ms: number, every: number): Map<string, number> {
    this.picks.clear();
    for (const end = this.#now + ms; this.#now < end; this.#now += every) {
      this.#settle();
      const endpoint = this.balancer.pick({ method: "Foo.sum" })!;
      this.picks.set(endpoint.address, (this.picks.get(endpoint.address) ?? 0) + 1);
      const took = this.took(endpoint.address);
      const call = { began: this.#now, endpoint };
      if (typeof took === "number") this.#running.push({ ...call, ends: this.#now + took });
      else this.#running.push({ ...call, ends: this.#now + 0.1, code: took });
    }
    return this.picks;
  }

  #settle(): void {
    this.#running.sort((a, b) => a.ends - b.ends);
    while (this.#running.length > 0 && this.#running[0]!.ends <= this.#now) {
      const { began, ends, endpoint, code } = this.#running.shift()!;
      this.balancer.done(endpoint, { duration: ends - began, code });
    }
  }
}

const SLOW = "tcp@127.0.0.1:1";

Deno.test("least_pending: a server 10 times slower gets under 40 % of an equal share, at any load", () => {
  for (const [size, every] of [[2, 20], [2, 3], [5, 10], [5, 0.5], [10, 1]] as const) {
    for (const seed of [1, 2, 3]) {
      const simulation = new Simulation((address) => address === SLOW ? 50 : 5, seed);
      simulation.balancer.update(servers(1, size));
      const picks = simulation.run(5_000, every);
      const share = (picks.get(SLOW) ?? 0) / (5_000 / every);
      assertLess(share, 0.4 / size, `${size} servers, a call every ${every} ms: ${share}`);
    }
  }
});

Deno.test("least_pending: servers that are equally fast get equal shares", () => {
  const random = seeded(5);
  const simulation = new Simulation(() => 5 + random() * 5);
  simulation.balancer.update(servers(1, 5));
  for (const picks of simulation.run(20_000, 1).values()) {
    assertLess(Math.abs(picks - 4_000), 800);
  }
});

Deno.test("least_pending: without knowing how long calls take, the one with fewer pending is picked", () => {
  const balancer = new LeastPendingBalancer({ random: seeded(1) });
  balancer.update(servers(1, 2));
  // Of two, both are compared: neither gets ahead by more than one.
  for (let n = 1; n <= 100; n++) {
    const picked = [1, 2].map(() => balancer.pick({ method: "Foo.sum" })!.address);
    assertEquals(new Set(picked).size, 2);
  }
});

Deno.test("least_pending: a server that fails fast does not look fast", () => {
  for (const code of ["unavailable", "resource_exhausted"] as const) {
    const simulation = new Simulation((address) => address === SLOW ? code : 5);
    simulation.balancer.update(servers(1, 4));
    const picks = simulation.run(5_000, 2);
    assertLess((picks.get(SLOW) ?? 0) / 2_500, 0.1);
  }
});

Deno.test("least_pending: errors of the service and abandoned calls do not count against a server", () => {
  for (const code of ["not_found", "canceled"] as const) {
    const simulation = new Simulation((address) => address === SLOW ? code : 0.1);
    simulation.balancer.update(servers(1, 4));
    const picks = simulation.run(5_000, 2);
    assertGreater((picks.get(SLOW) ?? 0) / 2_500, 0.1);
  }
});

Deno.test("least_pending: a server whose calls fail at once gets its share and no more, at any load", () => {
  for (const code of ["internal", "not_found"] as const) {
    for (const [size, every] of [[2, 100], [2, 20], [2, 3], [5, 10], [5, 0.5], [10, 1], [10, 0.2]] as const) {
      const simulation = new Simulation((address) => address === SLOW ? code : 20);
      simulation.balancer.update(servers(1, size));
      const picks = simulation.run(10_000, every).get(SLOW) ?? 0;
      const share = picks * every / 10_000;
      assertLess(Math.abs(share * size - 1), 0.15, `${size} servers, a call every ${every} ms: ${share}`);
    }
  }
});

Deno.test("least_pending: a server that refuses calls at once gets few, however many are pending at the others", () => {
  for (const code of ["unavailable", "resource_exhausted"] as const) {
    const simulation = new Simulation((address) => address === SLOW ? code : 200);
    simulation.balancer.update(servers(1, 4));
    // At the others 33 calls are pending each.
    const picks = simulation.run(10_000, 2).get(SLOW) ?? 0;
    assertLess(picks / 5_000, 0.25 / 4);
  }
});

/** Two servers of which one, `SLOW`, has done what `past` says; how many of a hundred calls of the next second it gets. */
function after(
  past: (balancer: LeastPendingBalancer, slow: Endpoint, pass: (ms: number) => void) => void,
): number {
  let now = 0;
  const clock: Clock = { now: () => now, setTimer: () => () => {} };
  const balancer = new LeastPendingBalancer({ random: seeded(1), clock });
  const pair = servers(1, 2);
  balancer.update(pair);
  const call = (ms: number) => {
    const endpoint = balancer.pick({ method: "Foo.sum" })!;
    now += ms;
    balancer.done(endpoint, { duration: ms });
    return endpoint.address;
  };
  for (let n = 0; n < 20; n++) call(10);
  past(balancer, pair[0]!, (ms) => now += ms);
  let picks = 0;
  for (let n = 0; n < 100; n++) if (call(10) === SLOW) picks++;
  return picks;
}

Deno.test("least_pending: the latency of an abandoned call is how long it lasted", () => {
  const lose = (duration: number) =>
    after((balancer, slow, pass) => {
      balancer.pick({ method: "Foo.sum", exclude: new Set([servers(2, 2)[0]!.address]) });
      pass(duration);
      balancer.done(slow, { code: "canceled", duration });
    });
  assertEquals(lose(100), 0, "a hundred ms of ten");
  assertGreater(lose(1), 40, "that was no answer, so it is not fast");
  assertLess(lose(1), 60);
});

Deno.test("least_pending: the duration of a stream does not count as latency", () => {
  for (const code of [undefined, "canceled", "deadline_exceeded", "not_found"] as const) {
    const picks = after((balancer, slow, pass) => {
      balancer.pick({ method: "Foo.follow", exclude: new Set([servers(2, 2)[0]!.address]) });
      pass(300_000);
      balancer.done(slow, { code, duration: 300_000, streams: true });
      pass(5_000);
    });
    assert(picks > 40 && picks < 60, `${picks} of 100 after a stream that ended with ${code}`);
  }
});

Deno.test("least_pending: streams that fail at once do not draw all streams", () => {
  let now = 0;
  const clock: Clock = { now: () => now, setTimer: () => () => {} };
  const balancer = new LeastPendingBalancer({ random: seeded(1), clock });
  balancer.update(servers(1, 2));
  let open = 0;
  let failed = 0;
  // Twenty followers; one that fails tries again after a second, and meanwhile others call.
  for (; open < 20 && failed < 1_000; now += 50) {
    const endpoint = balancer.pick({ method: "Foo.follow" })!;
    if (endpoint.address !== SLOW) open++;
    else failed++, balancer.done(endpoint, { code: "internal", duration: 1, streams: true });
  }
  assertLess(failed, 25);
});

Deno.test("least_pending: a server that was slow is found to be fast again", () => {
  let slow = true;
  const simulation = new Simulation((address) => slow && address === SLOW ? 50 : 5);
  simulation.balancer.update(servers(1, 4));
  simulation.run(5_000, 2);
  slow = false;
  simulation.run(20_000, 2);
  const picks = simulation.run(5_000, 2);
  assertGreater((picks.get(SLOW) ?? 0) / 2_500, 0.15);
});

Deno.test("least_pending: a new server gets its share at once, and not all", () => {
  const simulation = new Simulation(() => 5);
  simulation.balancer.update(servers(1, 3));
  simulation.run(5_000, 1);
  simulation.balancer.update(servers(1, 4));
  const picks = simulation.run(1_000, 1).get("tcp@127.0.0.1:4") ?? 0;
  assert(picks > 150 && picks < 400, `${picks} of 1000`);
});

Deno.test("least_pending: servers that stay keep their pending calls and latency when the list changes", () => {
  const simulation = new Simulation((address) => address === SLOW ? 50 : 5);
  simulation.balancer.update(servers(1, 4));
  simulation.run(5_000, 2);
  let slow = 0;
  for (let n = 0; n < 100; n++) {
    simulation.balancer.update(servers(1, 4 + n % 2));
    slow += simulation.run(20, 2).get(SLOW) ?? 0;
  }
  assertLess(slow / 1_000, 0.1);
});
