// More than there is time or room for: what is refused, what is not started, and who is ended over frames that ask for no
// work. Over memory and TCP, from the wire.

import { assert, assertEquals, assertGreater, assertLess, assertThrows } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { FloodLimiter } from "../../session/flood_limiter.ts";
import { CoDel } from "../../session/codel.ts";
import { call, cancel, credit, Kind, ping } from "../support/frames.ts";
import { bodyOf, type Frame } from "../support/raw_peer.ts";
import { Link } from "../support/service_link.ts";
import { fails } from "../support/session_pair.ts";
import { until } from "../support/waiting.ts";
import { assertLives, ECHO, overBoth, type Services } from "../support/wire_harness.ts";

/** Time that passes only while handlers compute: what else keeps this machine busy does not count. */
class HandlerTime implements Disposable {
  readonly #performanceNow = performance.now;
  #now = performance.now();
  /** `Burn.burn` computes for as many ms as it is called with. */
  readonly services: Services = { ...ECHO, Burn: { burn: (ms: number) => void (this.#now += ms) } };

  constructor() {
    performance.now = () => this.#now;
  }

  [Symbol.dispose](): void {
    performance.now = this.#performanceNow;
  }
}

/** The codes of frames that are Errors, and "ok" for the others. */
function outcomes(frames: Frame[]): unknown[] {
  return frames.map(({ kind, header }) => kind === Kind.error ? header[2] : "ok");
}

function count(all: unknown[], one: unknown): number {
  return all.filter((each) => each === one).length;
}

overBoth("overload: calls that expired in the queue are not started", async (open) => {
  using time = new HandlerTime();
  await using wire = await open(time.services);
  const { peer } = wire;
  await peer.send(...Array.from({ length: 200 }, (_, i) => call(2 * i + 1, "Burn.burn", 5, 50)));
  const all = await peer.frames(200);
  const started = wire.stats("Burn.burn").calls;
  // What is still in the system's buffers is not known to wait: each of the few reads has its own beginning.
  assertLess(started, 60);
  const refused = all.filter(({ header }) => header[4] instanceof Map && header[4].has("not-started"));
  assertEquals(refused.length, 200 - started);
  const { expired, maxQueueTime } = wire.limits();
  assertEquals(expired + maxQueueTime, 200 - started);
  assertGreater(expired, 0);
});

overBoth("overload: a persistent queue is shortened by refusals with retryAfter", async (open) => {
  using time = new HandlerTime();
  await using wire = await open(time.services, { maxQueueTime: 50, maxInFlight: 16 });
  const { peer } = wire;
  await peer.send(...Array.from({ length: 400 }, (_, i) => call(2 * i + 1, "Burn.burn", 10)));
  const all = await peer.frames(400);
  const codes = outcomes(all);
  const refused = count(codes, "resource_exhausted");
  assertEquals(count(codes, "ok") + refused, 400);
  // For a second the queue is borne, then what has waited too long is refused, in a few ms.
  assertLess(count(codes, "ok"), 250);
  assertGreater(refused, 100);
  assertEquals(wire.limits().maxQueueTime, refused);
  for (const { kind, header } of all) {
    if (kind !== Kind.error) continue;
    const metadata = header[4] as Map<string, string>;
    assertEquals([...metadata.keys()], ["not-started", "rpc-retry-after"]);
    assertGreater(Number(metadata.get("rpc-retry-after")), 50);
  }
  await assertLives(peer, 801);
});

overBoth("overload: a short burst is not refused", async (open) => {
  using time = new HandlerTime();
  await using wire = await open(time.services, { maxQueueTime: 20 });
  await wire.peer.send(...Array.from({ length: 100 }, (_, i) => call(2 * i + 1, "Burn.burn", 2)));
  assertEquals(outcomes(await wire.peer.frames(100)), Array(100).fill("ok"));
  assertEquals(wire.limits().maxQueueTime, 0);
});

overBoth(
  "overload: running handlers are counted over all connections, also closed ones",
  async (open) => {
    const gates: PromiseWithResolvers<unknown>[] = [];
    const wait = () => {
      const gate = Promise.withResolvers<unknown>();
      gates.push(gate);
      return gate.promise;
    };
    await using wire = await open({ ...ECHO, Slow: { wait } }, { maxInFlightTotal: 20 });
    const leaving = await wire.another();
    await leaving.send(...Array.from({ length: 15 }, (_, i) => call(2 * i + 1, "Slow.wait")));
    await until(() => gates.length === 15, "all to be started");
    leaving.close();
    const { peer } = wire;
    await peer.send(...Array.from({ length: 10 }, (_, i) => call(2 * i + 1, "Slow.wait")));
    assertEquals(outcomes(await peer.frames(5)), Array(5).fill("resource_exhausted"));
    assertEquals({ gates: gates.length, maxInFlightTotal: wire.limits().maxInFlightTotal }, {
      gates: 20,
      maxInFlightTotal: 5,
    });
    for (const gate of gates.splice(0, 15)) gate.resolve(1);
    await until(
      () => wire.stats("Slow.wait").inFlight === 5,
      "those of the connection that is gone to return",
    );
    await assertLives(peer, 21);
    for (const gate of gates) gate.resolve(1);
  },
);

/** Frames by the hundred thousand that ask for no work, and what they are. */
const FLOODS: [string, (seq: number) => Uint8Array][] = [
  ["pings", (n) => ping(n)],
  ["cancels", (n) => cancel(2 * n + 1)],
  ["credit", (n) => credit(2 * n + 1, 0, 0)],
  ["calls of unknown methods", (n) => call(2 * n + 1, "No.body")],
];

for (const [what, make] of FLOODS) {
  overBoth(`flood: a connection that sends ${what} without end is ended`, async (open) => {
    await using wire = await open(ECHO, { maxUselessFrames: 1_000 });
    const { peer } = wire;
    // The allowed frames, then enough to exceed the limit within the same second.
    await peer.send(...Array.from({ length: 1_000 }, (_, n) => make(n + 1)));
    const other = await wire.another();
    await assertLives(other, 1);
    assertEquals(wire.limits().maxUselessFrames, 0);
    await peer.send(...Array.from({ length: 5_000 }, (_, n) => make(n + 1_001))).catch(() => {});
    const rest = await peer.rest();
    assertEquals(rest.at(-1)?.header.slice(0, 1).concat(rest.at(-1)!.header[2]), [
      Kind.goAway,
      "resource_exhausted",
    ]);
    assertEquals(wire.limits().maxUselessFrames, 1);
    await assertLives(other, 3);
  });
}

overBoth("flood: calls that are opened and canceled at once count as a flood", async (open) => {
  const wait = (_: unknown, { signal }: { signal: AbortSignal }) =>
    new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  await using wire = await open({ ...ECHO, Slow: { wait } }, { maxUselessFrames: 1_000 });
  const { peer } = wire;
  const pairs = Array.from({ length: 8_000 }, (_, n) => n * 2 + 1)
    .flatMap((seq) => [call(seq, "Slow.wait"), cancel(seq)]);
  await peer.send(...pairs).catch(() => {});
  const rest = await peer.rest();
  assertEquals(rest.at(-1)?.header[2], "resource_exhausted");
  assertLess(wire.stats("Slow.wait").calls, 4_000);
  await until(() => wire.stats("Slow.wait").inFlight === 0, "all to return");
});

overBoth("flood: answered calls compensate for pings", async (open) => {
  await using wire = await open(ECHO, { maxUselessFrames: 100 });
  const { peer } = wire;
  const mixed = Array.from({ length: 2_000 }, (_, n) => [ping(n + 1), call(2 * n + 1, "Echo.echo", n)]);
  await peer.send(...mixed.flat());
  const all = await peer.frames(4_000);
  assertEquals(
    all.filter(({ kind }) => kind === Kind.reply).map(bodyOf),
    Array.from({ length: 2_000 }, (_, n) => n),
  );
  assertEquals(wire.limits().maxUselessFrames, 0);
});

Deno.test("FloodLimiter: tolerates its burst, drains at its rate, and is not filled by useful frames", () => {
  const limiter = new FloodLimiter(10);
  limiter.leak(0);
  for (let i = 0; i < 10; i++) limiter.charge();
  assert(!limiter.exceeded);
  limiter.refund();
  limiter.charge();
  const error = assertThrows(() => limiter.charge(), RpcError, "maxUselessFrames");
  assertEquals([(error as RpcError).code, limiter.exceeded], ["resource_exhausted", true]);
  limiter.leak(500);
  assert(!limiter.exceeded);
  for (let i = 0; i < 4; i++) limiter.charge();
  assertThrows(() => limiter.charge());
  limiter.leak(60_000);
  for (let i = 0; i < 10; i++) limiter.charge();
  for (let i = 0; i < 50; i++) limiter.refund();
  for (let i = 0; i < 10; i++) limiter.charge();
  assertThrows(() => limiter.charge());
});

Deno.test("CoDel: tolerates a short wait, refuses during a persistent one, and recovers", () => {
  const gate = new CoDel(100);
  assert(gate.admits(100, 1_000, 1_000));
  for (let now = 2_000; now <= 3_000; now += 10) assert(gate.admits(150, 1_000, now));
  assert(!gate.admits(150, 1_000, 3_001));
  assert(gate.admits(100, 1_000, 3_002), "what has not waited too long is never refused");
  assert(!gate.admits(101, 1_000, 3_900));
  assert(gate.admits(50, 1_000, 4_800));
  assert(!gate.admits(101, 1_000, 4_850), "a second without a late call has not passed");
  assert(gate.admits(50, 1_000, 5_851));
  for (let now = 6_000; now <= 7_000; now += 100) assert(gate.admits(200, 1_000, now));
  assert(!gate.admits(200, 1_000, 7_001));
});

Deno.test("CoDel: refuses calls that have waited longer than they have left, and none if it is off", () => {
  const gate = new CoDel(5_000);
  assert(gate.admits(200, 200, 1));
  assert(!gate.admits(201, 200, 2));
  assert(gate.admits(100, 1, 3), "a short wait is not overload");
  const off = new CoDel(Infinity);
  for (let now = 0; now < 10_000; now += 100) assert(off.admits(now, 1, now));
});

Deno.test("retryAfter: is sent with a refusal and with a handler's own error", async () => {
  const busy = () => {
    throw new RpcError("resource_exhausted", "Busy", { retryAfter: 1_499.2 });
  };
  await using link = await Link.open({ busy });
  const error = await fails(link.call("busy"), "resource_exhausted");
  assertEquals([error.retryAfter, error.notStarted, [...error.metadata]], [1_500, false, []]);
  assertThrows(() => new RpcError("aborted", "No", { retryAfter: -1 }), RangeError, "retryAfter");
  assertEquals(new RpcError("aborted", "No").retryAfter, undefined);
});
