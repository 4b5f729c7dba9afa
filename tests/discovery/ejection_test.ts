// Which servers are ejected, for how long, and how they come back: on a fake clock, with every balancer.

import { assert, assertEquals, assertGreater, assertLess, assertThrows } from "@std/assert";
import type { Balancer } from "../../discovery/balancer.ts";
import { type BalancerName, createBalancer } from "../../discovery/create_balancer.ts";
import { Ejection, type EjectionOptions } from "../../discovery/ejection.ts";
import { count, servers } from "../support/contracts/balancer.ts";
import { FakeClock } from "../support/fake_clock.ts";

/** An ejection in front of a balancer, for servers on ports 1 and up. */
class Rig {
  readonly clock = new FakeClock();
  readonly balancer: Balancer;
  readonly ejection: Ejection;

  constructor(size: number, options: EjectionOptions | false = {}, name: BalancerName = "round_robin") {
    this.balancer = createBalancer(name);
    // In the middle of the jitter: no more and no less.
    this.ejection = new Ejection(options, (list) => this.balancer.update(list), this.clock, () => 0.5);
    this.update(1, size);
  }

  update(from: number, to: number): void {
    this.balancer.update(this.ejection.update(servers(from, to)));
  }

  health(port: number) {
    return this.ejection.health(`tcp@127.0.0.1:${port}`)!;
  }

  fail(port: number, times: number): void {
    for (let n = 0; n < times; n++) this.health(port).failed();
  }

  /** The ports of ejected servers. */
  get aside(): number[] {
    return this.ejection.endpoints.map(({ address }) => Number(address.split(":")[1]))
      .filter((port) => this.health(port).ejected);
  }

  /** The ports that get calls, without being tried for it. */
  get picked(): number[] {
    const ports = [...count(this.balancer, 200).keys()].map((address) => Number(address.split(":")[1]));
    return ports.sort((a, b) => a - b);
  }
}

const NAMES: BalancerName[] = [
  "random",
  "round_robin",
  "weighted_round_robin",
  "least_pending",
  "consistent_hash",
];

for (const name of NAMES) {
  Deno.test(`ejection: with ${name}, an ejected server gets no calls until its time is over, then one, then its share`, async () => {
    const rig = new Rig(4, {}, name);
    rig.fail(2, 5);
    assertEquals([rig.aside, rig.picked], [[2], [1, 3, 4]]);
    await rig.clock.advance(999);
    assertEquals(rig.picked, [1, 3, 4]);
    await rig.clock.advance(1);
    assertEquals([rig.aside, rig.picked], [[2], [1, 2, 3, 4]]);
    rig.health(2).picked();
    assertEquals(rig.picked, [1, 3, 4], "one call is enough of a trial");
    rig.health(2).succeeded();
    assertEquals([rig.aside, rig.picked], [[], [1, 2, 3, 4]]);
    assertEquals(rig.clock.timers, 0);
  });
}

Deno.test("ejection: it takes failures in a row; a success between them counts from the start", () => {
  const rig = new Rig(2);
  for (let n = 0; n < 10; n++) {
    rig.fail(1, 4);
    rig.health(1).succeeded();
  }
  rig.fail(1, 4);
  rig.health(1).undecided();
  assertEquals(rig.aside, []);
  rig.fail(1, 1);
  assertEquals(rig.aside, [1]);
});

Deno.test("ejection: each trial that fails doubles the time, up to the longest", async () => {
  const rig = new Rig(2, { consecutiveFailures: 2, baseTime: 100, maxTime: 1_000 });
  rig.fail(1, 2);
  for (const time of [100, 200, 400, 800, 1_000, 1_000]) {
    await rig.clock.advance(time - 1);
    assertEquals(rig.health(1).pickable, false);
    await rig.clock.advance(1);
    assertEquals(rig.health(1).pickable, true, `after ${time} ms`);
    rig.health(1).picked();
    rig.fail(1, 1);
  }
  assertEquals(rig.aside, [1]);
});

Deno.test("ejection: a server that fails again soon is ejected for longer; one that was healthy for a while starts over", async () => {
  const rig = new Rig(2, { consecutiveFailures: 1, baseTime: 100 });
  const comesBackAfter = async (time: number) => {
    rig.fail(1, 1);
    await rig.clock.advance(time - 1);
    assertEquals(rig.health(1).pickable, false);
    await rig.clock.advance(1);
    assertEquals(rig.health(1).pickable, true, `after ${time} ms`);
    rig.health(1).picked();
    rig.health(1).succeeded();
  };
  await comesBackAfter(100);
  await rig.clock.advance(50);
  await comesBackAfter(200);
  await rig.clock.advance(150);
  await comesBackAfter(400);
  await rig.clock.advance(401);
  await comesBackAfter(100);
});

Deno.test("ejection: times differ by a fifth, so that many clients do not come back at once", async () => {
  for (const [chance, time] of [[0, 800], [0.999_999, 1_199]] as const) {
    const clock = new FakeClock();
    const ejection = new Ejection({}, () => {}, clock, () => chance);
    ejection.update(servers(1, 2));
    const health = ejection.health("tcp@127.0.0.1:1")!;
    for (let n = 0; n < 5; n++) health.failed();
    await clock.advance(time - 2);
    assertEquals(health.pickable, false);
    await clock.advance(3);
    assertEquals(health.pickable, true);
  }
});

Deno.test("ejection: at most maxShare of the list is ejected, and never the last server", () => {
  const cases = [[1, 0.5, 0], [2, 0.5, 1], [3, 0.5, 1], [4, 0.5, 2], [7, 0.5, 3], [4, 1, 3], [1, 1, 0], [
    4,
    0,
    0,
  ]];
  for (const [size, share, most] of cases as [number, number, number][]) {
    const rig = new Rig(size, { maxShare: share });
    for (let round = 0; round < 3; round++) {
      for (let port = 1; port <= size; port++) rig.fail(port, 5);
    }
    assertEquals(rig.aside.length, most, `${share} of ${size}`);
    assertEquals(rig.picked.length, size - most);
  }
});

Deno.test("ejection: a server that could not be ejected for maxShare is ejected at its next failure when there is room", async () => {
  const rig = new Rig(2);
  rig.fail(1, 5);
  rig.fail(2, 50);
  assertEquals(rig.aside, [1]);
  await rig.clock.advance(1_000);
  rig.health(1).picked();
  rig.health(1).succeeded();
  rig.fail(2, 1);
  assertEquals(rig.aside, [2]);
});

Deno.test("ejection: a probe without a result is repeated with the next call", async () => {
  const rig = new Rig(2);
  rig.fail(1, 5);
  await rig.clock.advance(1_000);
  rig.health(1).picked();
  assertEquals(rig.health(1).pickable, false);
  rig.health(1).undecided();
  assertEquals(rig.health(1).pickable, true);
});

Deno.test("ejection: calls that began before the ejection do not end it", async () => {
  const rig = new Rig(2);
  rig.fail(1, 5);
  rig.health(1).succeeded();
  rig.fail(1, 20);
  assertEquals([rig.aside, rig.health(1).pickable], [[1], false]);
  await rig.clock.advance(1_000);
  assertEquals(rig.health(1).pickable, true, "nor do they make it longer");
});

Deno.test("ejection: a server is probed as soon as it has a new connection, and not without one", async () => {
  const rig = new Rig(2);
  rig.fail(1, 5);
  rig.health(1).disconnected();
  await rig.clock.advance(60_000);
  assertEquals(rig.health(1).pickable, false);
  rig.health(1).connected();
  assertEquals([rig.health(1).pickable, rig.aside], [true, [1]]);
  rig.health(1).disconnected();
  assertEquals(rig.health(1).pickable, false);
  rig.health(1).connected();
  rig.health(1).picked();
  rig.health(1).succeeded();
  assertEquals(rig.aside, []);
});

Deno.test("ejection: a new server gets its share at once, those who stay keep their health, one that comes back is new", () => {
  const rig = new Rig(4);
  rig.fail(1, 5);
  rig.fail(2, 4);
  rig.update(1, 5);
  assertEquals([rig.aside, rig.picked], [[1], [2, 3, 4, 5]]);
  rig.fail(2, 1);
  assertEquals(rig.aside, [1, 2]);
  const gone = rig.health(1);
  rig.update(2, 5);
  assertEquals([rig.aside, rig.picked], [[2], [3, 4, 5]]);
  assertEquals(rig.clock.timers, 1);
  // What is still heard of it changes nothing.
  for (let n = 0; n < 20; n++) gone.failed();
  gone.connected();
  gone.uneject();
  assertEquals([rig.picked, rig.clock.timers], [[3, 4, 5], 1]);
  rig.update(1, 5);
  assertEquals([rig.aside, rig.picked], [[2], [1, 3, 4, 5]]);
});

Deno.test("ejection: when the list shrinks, servers are re-admitted until maxShare holds", () => {
  const rig = new Rig(8);
  for (const port of [1, 2, 3, 4]) rig.fail(port, 5);
  rig.update(1, 5);
  assertEquals(rig.aside.length, 2);
  rig.update(3, 4);
  assertEquals([rig.aside.length, rig.picked.length], [1, 1]);
  rig.update(4, 4);
  assertEquals([rig.aside, rig.picked], [[], [4]]);
});

Deno.test("ejection: switched off it does nothing, closed it keeps no timers", () => {
  const off = new Rig(4, false);
  off.fail(1, 1_000);
  assertEquals([off.aside, off.picked.length, off.clock.timers], [[], 4, 0]);
  const closed = new Rig(4);
  closed.fail(1, 5);
  closed.ejection.close();
  closed.fail(2, 5);
  assertEquals([closed.aside, closed.clock.timers], [[], 0]);
});

Deno.test("ejection: round robin stays exact among the remaining servers", () => {
  const rig = new Rig(5);
  rig.fail(3, 5);
  const counts = [...count(rig.balancer, 1_001).values()];
  assertEquals(counts.length, 4);
  assertLess(Math.max(...counts) - Math.min(...counts), 2);
});

Deno.test("ejection: with consistent_hash, only the keys of an ejected server move, and they come back", async () => {
  const rig = new Rig(5, {}, "consistent_hash");
  const places = () =>
    Array.from({ length: 1_000 }, (_, n) => {
      const endpoint = rig.balancer.pick({ method: "Foo.sum", key: `key ${n}` })!;
      rig.balancer.done!(endpoint, { duration: 1 });
      return endpoint.address;
    });
  const before = places();
  rig.fail(2, 5);
  let moved = 0;
  for (const [n, address] of places().entries()) {
    assert(address !== "tcp@127.0.0.1:2");
    if (address === before[n]) continue;
    moved++;
    assertEquals(before[n], "tcp@127.0.0.1:2");
  }
  assertGreater(moved, 100);
  await rig.clock.advance(1_000);
  rig.health(2).picked();
  rig.health(2).succeeded();
  assertEquals(places(), before);
});

Deno.test("ejection: invalid options are refused by name", () => {
  const wrong: [EjectionOptions, string][] = [
    [{ consecutiveFailures: 0 }, "ejection.consecutiveFailures"],
    [{ consecutiveFailures: 1.5 }, "ejection.consecutiveFailures"],
    [{ maxShare: 1.1 }, "ejection.maxShare"],
    [{ maxShare: NaN }, "ejection.maxShare"],
    [{ baseTime: 0 }, "ejection.baseTime"],
    [{ baseTime: 2_000, maxTime: 1_000 }, "ejection.maxTime"],
  ];
  for (const [options, name] of wrong) assertThrows(() => new Rig(2, options), RangeError, name);
  assertThrows(() => new Rig(2, { baseTime: "1" as unknown as number }), TypeError, "ejection.baseTime");
});

Deno.test("ejection: the health of each server is one word, with the time of its next probe", async () => {
  const rig = new Rig(4);
  const two = rig.health(2);
  const state = () => [two.state, two.failures, two.probeIn];
  assertEquals(state(), ["healthy", 0, undefined]);
  rig.fail(2, 4);
  assertEquals(state(), ["healthy", 4, undefined]);
  two.succeeded();
  assertEquals(state(), ["healthy", 0, undefined]);
  rig.fail(2, 5);
  assertEquals(state(), ["ejected", 0, 1_000]);
  await rig.clock.advance(400);
  assertEquals(state(), ["ejected", 0, 600]);
  await rig.clock.advance(600);
  assertEquals(state(), ["half_open", 0, undefined]);
  two.picked();
  assertEquals(state(), ["probing", 0, undefined]);
  two.failed();
  assertEquals(state(), ["ejected", 0, 2_000], "twice as long");
  two.disconnected();
  await rig.clock.advance(5_000);
  assertEquals(state(), ["ejected", 0, 0], "only a connection is missing");
  two.connected();
  assertEquals(state(), ["half_open", 0, undefined]);
  rig.update(3, 4);
  assertEquals(state(), ["removed", 0, undefined]);
});
