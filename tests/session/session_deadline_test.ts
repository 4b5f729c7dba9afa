// Deadlines and cancellation over one connection: no call outlives its time, and its handler learns why its caller has gone.

import { assert, assertEquals, assertGreater, assertStringIncludes, fail } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { callOver, fails, Patient, testSession } from "../support/session_pair.ts";
import { until } from "../support/waiting.ts";

for (const timeout of [1, 200]) {
  testSession(
    `a timeout of ${timeout} ms ends a call in time and aborts its handler's signal`,
    async (open) => {
      const waiting = new Patient();
      await using pair = await open({ methods: { wait: waiting.wait } });
      const began = performance.now();
      const error = await fails(pair.call("wait", null, { timeout }), "deadline_exceeded");
      const elapsed = performance.now() - began;

      assert(elapsed >= timeout, `it took ${elapsed} ms`);
      assertStringIncludes(error.message, "S.wait");
      await until(() => pair.accepted.running === 0 && pair.started <= 1, "the handler ends");
      // Of 1 ms nothing may be left when the call arrives: then its handler is not started at all.
      assertEquals(waiting.reasons.length, waiting.started);
      if (timeout > 1) assertEquals(waiting.started, 1);
      for (const reason of waiting.reasons) {
        assert(reason instanceof RpcError);
        assert(reason.code === "deadline_exceeded" || reason.code === "canceled", reason.code);
      }
    },
  );
}

for (
  const [why, code] of [["cancel", "canceled"], ["handleTimeout", "deadline_exceeded"], [
    "loss",
    "unavailable",
  ], ["close", "unavailable"]] as const
) {
  testSession(`a handler's signal aborts with ${code} at a ${why}`, async (open) => {
    const waiting = new Patient();
    await using pair = await open({
      methods: { wait: waiting.wait },
      handleTimeout: why === "handleTimeout" ? 30 : 0,
    });
    const controller = new AbortController();
    const call = fails(
      pair.call("wait", null, { signal: controller.signal }),
      why === "cancel" ? "canceled" : why === "handleTimeout" ? "deadline_exceeded" : "unavailable",
    );
    if (why !== "handleTimeout") await until(() => waiting.started === 1, "the handler runs");
    if (why === "cancel") controller.abort();
    if (why === "loss") pair.acceptedConn.close();
    if (why === "close") pair.accepted.close(new RpcError("unavailable", "That was all"));
    await until(() => waiting.reasons.length === 1, "the signal aborts");
    assert(waiting.reasons[0] instanceof RpcError);
    assertEquals(waiting.reasons[0].code, code);
    const error = await call;
    assertEquals(error.remote, why === "handleTimeout");
  });
}

testSession("a signal that is first read after the abort has aborted", async (open) => {
  const gate = Promise.withResolvers<void>();
  let reason: unknown;
  await using pair = await open({
    methods: {
      late: async (_, context) => {
        await gate.promise;
        reason = context.signal.aborted && context.signal.reason;
      },
      open: () => gate.resolve(),
      reason: () => (reason as RpcError).code,
    },
  });
  const controller = new AbortController();
  const call = fails(pair.call("late", null, { signal: controller.signal }), "canceled");
  await until(() => pair.accepted.running === 1, "the handler runs");
  controller.abort();
  await call;
  await pair.call("open");
  assertEquals(await pair.call("reason"), "canceled");
});

testSession(
  "a cancelled call ends with the signal's reason as its cause, and a late answer changes nothing",
  async (open) => {
    const gate = Promise.withResolvers<string>();
    await using pair = await open({
      methods: { late: () => gate.promise, open: () => gate.resolve("late") },
    });
    const controller = new AbortController();
    const call = pair.call("late", null, { signal: controller.signal });
    await until(() => pair.accepted.running === 1, "the handler runs");
    controller.abort("enough");
    // What has been settled is settled: at once, and as it was.
    const error = await fails(call, "canceled");
    assertEquals({ cause: error.cause, remote: error.remote, notStarted: error.notStarted }, {
      cause: "enough",
      remote: false,
      notStarted: false,
    });
    assertEquals(pair.dialled.pending, 0);
    assertEquals(pair.accepted.running, 1, "its handler has not returned");
    await pair.call("open");
    await until(() => pair.accepted.running === 0, "the handler ends");
    assertEquals(await pair.call("echo", 1), 1);
    assertEquals(pair.table.stats().find(({ method }) => method === "S.late")!.errors, 1);
  },
);

testSession("a signal that has aborted already ends the call unsent", async (open) => {
  await using pair = await open();
  const error = await fails(pair.call("echo", 1, { signal: AbortSignal.abort("before") }), "canceled");
  assertEquals({ cause: error.cause, notStarted: error.notStarted, pending: pair.dialled.pending }, {
    cause: "before",
    notStarted: true,
    pending: 0,
  });
  assertEquals(await pair.call("echo", 1), 1);
  assertEquals(pair.started, 1);
});

/** A signal that counts its listeners. */
function counted(): { controller: AbortController; listeners: () => number } {
  const controller = new AbortController();
  const { signal } = controller;
  const all = new Set<unknown>();
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (type: string, listener: EventListener, options?: AddEventListenerOptions) => {
    all.add(listener);
    addEventListener.call(signal, type, listener, options);
  };
  signal.removeEventListener = (type: string, listener: EventListener) => {
    all.delete(listener);
    removeEventListener.call(signal, type, listener);
  };
  return { controller, listeners: () => all.size };
}

testSession("a signal shared by 10 000 calls has one listener, and none when they are done", async (open) => {
  await using pair = await open();
  const { controller, listeners } = counted();
  const calls = Array.from(
    { length: 10_000 },
    (_, n) => pair.call("echo", n, { signal: controller.signal }),
  );
  assertEquals(listeners(), 1);
  assertEquals(await Promise.all(calls), Array.from({ length: 10_000 }, (_, n) => n));
  assertEquals(listeners(), 0);
  await fails(pair.call("nope", null, { signal: controller.signal }), "unimplemented");
  await fails(pair.call("echo", () => 1, { signal: controller.signal }), "invalid_argument");
  assertEquals(listeners(), 0);
});

testSession(
  "aborting 10 000 calls by one signal ends them before abort() returns, and starts none of those that waited for room",
  async (open) => {
    await using pair = await open({
      methods: { wait: () => new Promise(() => {}) },
      limits: { maxInFlight: 100 },
    });
    const { controller, listeners } = counted();
    const { signal } = controller;
    const calls = Array.from({ length: 10_000 }, () => pair.call("wait", null, { signal }));
    const canceled = Promise.all(calls.map((call) => fails(call, "canceled")));
    await until(() => pair.accepted.running === 100, "as many run as may");
    controller.abort();
    assertEquals([pair.dialled.pending, listeners()], [0, 0]);
    const errors = await canceled;
    assertEquals(errors.filter(({ notStarted }) => notStarted).length, 9_900);
    // Those that never returned hold their places, so that nothing gets past them.
    await fails(pair.call("echo", 1), "resource_exhausted");
    assertEquals(pair.started, 100);
  },
);

testSession(
  "5 000 calls that run out of time at once all end then, and what waited is not started",
  async (open) => {
    await using pair = await open({ methods: { wait: () => new Promise(() => {}) } });
    const began = performance.now();
    const calls = Array.from({ length: 5_000 }, () => pair.call("wait", null, { timeout: 400 }));
    const errors = await Promise.all(
      calls.map((call) => call.then(() => fail("It was answered"), (error) => error)),
    );
    const elapsed = performance.now() - began;
    assert(elapsed >= 399, `it took ${elapsed} ms`);
    for (const { code, notStarted } of errors as RpcError[]) {
      // Where the other side's clock is ahead, it says of the first ones that they are late, and has no room for others.
      if (code === "resource_exhausted") assert(notStarted);
      else assertEquals(code, "deadline_exceeded");
    }
    assertEquals({ pending: pair.dialled.pending, started: pair.started }, { pending: 0, started: 1_024 });
    await fails(pair.call("echo", 1), "resource_exhausted");
  },
);

testSession(
  "a call that waits for room ends at its deadline or by its signal, others continue",
  async (open) => {
    const gate = Promise.withResolvers<string>();
    await using pair = await open({ methods: { hold: () => gate.promise }, limits: { maxInFlight: 16 } });
    const held = Array.from({ length: 16 }, () => pair.call("hold"));
    const late = fails(pair.call("echo", "late", { timeout: 50 }), "deadline_exceeded");
    const stop = new AbortController();
    const gone = fails(pair.call("echo", "gone", { signal: stop.signal }), "canceled");
    const others = Array.from({ length: 100 }, (_, n) => pair.call("echo", n));
    assertEquals(pair.dialled.pending, 118);
    stop.abort();
    assertEquals([(await gone).notStarted, (await late).notStarted], [true, true]);
    assertEquals(pair.dialled.pending, 116);
    gate.resolve("held");
    assertEquals(await Promise.all(held), Array(16).fill("held"));
    assertEquals(await Promise.all(others), Array.from({ length: 100 }, (_, n) => n));
    assertEquals(pair.started, 116);
  },
);

testSession("a handler that ends just as time runs out gives one outcome, 4 000 times", async (open) => {
  await using pair = await open({
    methods: {
      spin: (until: number) => new Promise((resolve) => setTimeout(() => resolve("done"), until)),
    },
  });
  let done = 0, late = 0;
  let settled = 0;
  const call = async (n: number) => {
    // A few have time to spare: on a machine that is busy with other things none else may be done in time.
    const timeout = n % 50 === 0 ? 1_000 : 3 + n % 10;
    try {
      assertEquals(await pair.call("spin", Math.min(timeout - 1, 12), { timeout }), "done");
      done++;
    } catch (error) {
      assert(error instanceof RpcError && error.code === "deadline_exceeded", String(error));
      late++;
    }
    settled++;
  };
  for (let batch = 0; batch < 20; batch++) {
    await Promise.all(Array.from({ length: 200 }, (_, n) => call(n)));
  }
  assertEquals([settled, done + late], [4_000, 4_000]);
  await until(() => pair.accepted.running === 0, "all handlers end");
  const spin = pair.table.stats().find(({ method }) => method === "S.spin")!;
  assertEquals([spin.inFlight, spin.calls <= 4_000], [0, true]);
  assertGreater(done, 0);
});

testSession(
  "timeouts longer than timers or frames can express do not expire at once",
  async (open) => {
    await using pair = await open({
      methods: { left: (_, { deadline }) => deadline - performance.now() },
    });
    for (const timeout of [2 ** 31, 2 ** 32 + 5, 2 ** 53 - 1, 2 ** 53, 1e300, Infinity]) {
      const left = await pair.call("left", null, { timeout }) as number;
      assertGreater(left, timeout === Infinity ? 1e308 : Math.min(timeout, 2 ** 53) - 600_000);
    }
    // The same for one that must wait.
    const call = pair.call("left", null, { timeout: 2 ** 31 });
    await new Promise((resolve) => setTimeout(resolve, 20));
    assertGreater(await call as number, 2 ** 31 - 600_000);
  },
);

testSession("a call made by a handler has less time left than the handler", async (open) => {
  await using pair = await open({ callbacks: { left: (_, { deadline }) => deadline - performance.now() } });
  pair.table.register("Relay", {
    relay: async (_: unknown, { deadline }: { deadline: number }) => {
      const given = deadline - performance.now();
      await new Promise((resolve) => setTimeout(resolve, 30));
      const timeout = deadline - performance.now();
      return [given, await callOver(pair.accepted, "S.left", null, { timeout })];
    },
  });
  const [given, handedOn] = await callOver(pair.dialled, "Relay.relay", null, {
    timeout: 300_000,
  }) as number[];
  assert(given! <= 300_000 && handedOn! < given! - 25, `${given} ms, then ${handedOn} ms`);
});

testSession("a handler that ends after its deadline is not answered twice", async (open) => {
  const gate = Promise.withResolvers<string>();
  await using pair = await open({
    methods: {
      late: () => gate.promise,
      fail: () => gate.promise.then(() => Promise.reject(new Error("late"))),
    },
    handleTimeout: 500,
  });
  await Promise.all(["late", "fail"].map((method) => fails(pair.call(method), "deadline_exceeded")));
  const { written } = pair.acceptedConn;
  gate.resolve("late");
  await until(() => pair.accepted.running === 0, "the handlers return");
  assertEquals(await pair.call("echo", "a"), "a");
  const first = pair.acceptedConn.written - written;
  assertEquals(await pair.call("echo", "b"), "b");
  assertEquals(pair.acceptedConn.written - written, 2 * first, "more than the one answer was written");
  const errors = pair.table.stats().map(({ calls, errors, inFlight }) => [calls, errors, inFlight]);
  assertEquals(errors, [[2, 0, 0], [1, 1, 0], [1, 1, 0]]);
});
