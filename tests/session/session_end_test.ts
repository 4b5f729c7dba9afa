// How connections end, and what becomes of the calls on them: every one is settled once, at once, with a reason.

import { assert, assertEquals } from "@std/assert";
import type { CallContext } from "../../call/handler.ts";
import { RpcError } from "../../call/error.ts";
import { callOver, fails, Patient, testSession } from "../support/session_pair.ts";
import { soon, until } from "../support/waiting.ts";

const REASON = new RpcError("unavailable", "That was all");

testSession("close() settles every call both ways at once, and later calls too", async (open) => {
  const waiting = new Patient();
  const back = new Patient();
  await using pair = await open({ methods: { wait: waiting.wait }, callbacks: { wait: back.wait } });
  const calls = Array.from({ length: 500 }, () => pair.call("wait"));
  const others = Array.from({ length: 500 }, () => callOver(pair.accepted, "S.wait"));
  await until(() => waiting.started === 500 && back.started === 500, "all handlers run");
  pair.dialled.close(REASON);
  const failed = [
    ...calls.map((call) => fails(call, "unavailable", "That was all")),
    ...others.map((call) => fails(call, "unavailable")),
  ];
  for (const { remote, notStarted } of await Promise.all(failed)) {
    assertEquals({ remote, notStarted }, { remote: false, notStarted: false });
  }
  const error = await fails(pair.call("wait"), "unavailable", "the connection is shutting down");
  assertEquals(error.notStarted, true);
  await fails(callOver(pair.accepted, "S.wait"), "unavailable");
  await Promise.all([pair.dialled.closed, pair.accepted.closed]);
  assertEquals([waiting.reasons.length, back.reasons.length], [500, 500]);
  // Called again, and late, it is nothing.
  pair.dialled.close(REASON);
  pair.dialled.drain();
  assertEquals([pair.dialled.open, pair.accepted.open], [false, false]);
});

testSession("a lost connection settles every call at once, on both sides", async (open) => {
  for (const lost of ["dialledConn", "acceptedConn"] as const) {
    const waiting = new Patient();
    await using pair = await open({ methods: { wait: waiting.wait }, callbacks: { wait: waiting.wait } });
    const calls = [
      ...Array.from({ length: 200 }, () => pair.call("wait")),
      ...Array.from({ length: 200 }, () => callOver(pair.accepted, "S.wait")),
    ];
    await until(() => waiting.started === 400, "all handlers run");
    pair[lost].close();
    await Promise.all(calls.map(async (call) => {
      const error = await fails(call, "unavailable", " was lost: ");
      // Whether they were executed cannot be known.
      assertEquals({ remote: error.remote, notStarted: error.notStarted }, {
        remote: false,
        notStarted: false,
      });
    }));
  }
});

testSession(
  "a call that is cut after the other side drained does not report a lost connection",
  async (open) => {
    const waiting = new Patient();
    await using pair = await open({ methods: { wait: waiting.wait }, callbacks: { wait: waiting.wait } });
    const cut = fails(pair.call("wait"), "unavailable", "The other side shut down before it answered");
    // The side that drains knows why.
    const own = fails(callOver(pair.accepted, "S.wait"), "unavailable", "That was all");
    await until(() => waiting.started === 2, "both handlers run");
    pair.accepted.drain();
    await until(() => !pair.dialled.open, "the other side to notice the end");
    pair.accepted.close(REASON);
    const { remote, notStarted } = await cut;
    assertEquals({ remote, notStarted }, { remote: false, notStarted: false });
    await own;
  },
);

testSession("calls that had not been sent when the connection was lost say so", async (open) => {
  await using pair = await open({
    methods: { wait: () => new Promise(() => {}) },
    limits: { maxInFlight: 16 },
  });
  const calls = Array.from({ length: 50 }, () => pair.call("wait"));
  await until(() => pair.accepted.running === 16, "as many run as may");
  pair.dialledConn.close();
  const errors = await Promise.all(calls.map((call) => fails(call, "unavailable")));
  assertEquals(errors.map(({ notStarted }) => notStarted), [
    ...Array(16).fill(false),
    ...Array(34).fill(true),
  ]);
});

testSession("a failed write fails the calls, those after it too, and ends the connection", async (open) => {
  await using pair = await open({ methods: { wait: () => new Promise(() => {}) } });
  const before = pair.call("wait");
  await until(() => pair.accepted.running === 1, "the handler runs");
  pair.dialledConn.writeError = new Deno.errors.BrokenPipe("Broken pipe");
  const calls = Array.from({ length: 10 }, (_, n) => pair.call("echo", n));
  await Promise.all([before, ...calls].map((call) => {
    return fails(call, "unavailable", " was lost: Broken pipe");
  }));
  assertEquals((await fails(pair.call("echo"), "unavailable")).notStarted, true);
  await pair.dialled.closed;
});

testSession("drain() lets every accepted call finish, and accepts no more", async (open) => {
  const gate = Promise.withResolvers<string>();
  await using pair = await open({ methods: { later: () => gate.promise }, callbacks: { echo: (n) => n } });
  const calls = Array.from({ length: 100 }, () => pair.call("later"));
  await until(() => pair.accepted.running === 100, "all handlers run");
  pair.accepted.drain();
  pair.accepted.drain();
  await until(() => !pair.dialled.open, "the other side to notice the end");
  const refused = await fails(pair.call("echo", 1), "unavailable");
  assertEquals(refused.notStarted, true);
  assertEquals(pair.accepted.running, 100);
  gate.resolve("done");
  assertEquals(await Promise.all(calls), Array(100).fill("done"));
  await Promise.all([pair.dialled.closed, pair.accepted.closed]);
});

/** Handlers that call back twice: when they begin, and when they are let go. */
function twice() {
  const gate = Promise.withResolvers<void>();
  const ask = async (n: number, { peer }: CallContext) => {
    const first = await peer.call("S.double", n);
    await gate.promise;
    return [first, await peer.call("S.double", n + 1)];
  };
  const shown: number[] = [];
  const double = (n: number) => (shown.push(n), 2 * n);
  return { gate, shown, methods: { ask }, callbacks: { double } };
}

testSession(
  "retire() lets calls that were made finish, and their handlers call back until then",
  async (open) => {
    const { gate, shown, methods, callbacks } = twice();
    await using pair = await open({ methods, callbacks });
    const calls = [1, 3, 5].map((n) => pair.call("ask", n));
    await until(() => shown.length === 3, "all handlers run");
    pair.dialled.retire();
    pair.dialled.retire();
    const refused = await fails(pair.call("echo", 1), "unavailable");
    assertEquals([refused.notStarted, pair.dialled.open, pair.accepted.open], [true, false, true]);
    gate.resolve();
    assertEquals(await Promise.all(calls), [[2, 4], [6, 8], [10, 12]]);
    await Promise.all([pair.dialled.closed, pair.accepted.closed]);
  },
);

testSession(
  "retire() ends the connection too when the last call is left, or runs out of time",
  async (open) => {
    for (const options of [{ signal: new AbortController() }, { timeout: 500 }]) {
      const waiting = new Patient();
      await using pair = await open({ methods: { wait: waiting.wait } });
      const { signal: stop, timeout } = options;
      const call = fails(
        pair.call("wait", null, { signal: stop?.signal, timeout }),
        stop ? "canceled" : "deadline_exceeded",
      );
      await until(() => waiting.started === 1, "the handler runs");
      pair.dialled.retire();
      stop?.abort();
      await call;
      await soon(Promise.all([pair.dialled.closed, pair.accepted.closed]), "both ends");
    }
  },
);

testSession("drain() lets the handlers of accepted calls call back", async (open) => {
  const { gate, shown, methods, callbacks } = twice();
  await using pair = await open({ methods, callbacks });
  const calls = [1, 3, 5].map((n) => pair.call("ask", n));
  await until(() => shown.length === 3, "all handlers run");
  pair.accepted.drain();
  await until(() => !pair.dialled.open, "the other side to notice the end");
  // That the other side leaves as well changes nothing.
  pair.dialled.retire();
  gate.resolve();
  assertEquals(await Promise.all(calls), [[2, 4], [6, 8], [10, 12]]);
  await Promise.all([pair.dialled.closed, pair.accepted.closed]);
});

testSession("a call that crosses a drain is either answered or certainly not started", async (open) => {
  let crossed = 0;
  for (let round = 0; round < 50; round++) {
    const started = new Set<unknown>();
    const gate = Promise.withResolvers<void>();
    await using pair = await open({
      methods: {
        note: async (n) => {
          started.add(n);
          await null;
          return n;
        },
        // Keeps the connection from ending before the calls that cross the drain have arrived.
        hold: () => gate.promise,
      },
    });
    const held = pair.call("hold");
    await until(() => pair.accepted.running === 1, "it is held");
    const answered = new Set<unknown>();
    const refused = new Set<unknown>();
    const note = async (n: number) => {
      const { open } = pair.dialled;
      try {
        answered.add(await pair.call("note", n));
      } catch (error) {
        assert(error instanceof RpcError);
        assertEquals({ code: error.code, notStarted: error.notStarted }, {
          code: "unavailable",
          notStarted: true,
        });
        refused.add(n);
        if (open) crossed++;
      }
    };
    const calls: Promise<void>[] = [];
    for (let n = 0; n < 40; n++) {
      calls.push(note(n));
      if (n === round % 40) pair.accepted.drain();
      // Each in a turn of its own, more or less.
      for (let turn = 0; turn < n % 4; turn++) await null;
    }
    await Promise.all(calls);
    gate.resolve();
    await held;
    assertEquals(answered.size + refused.size, 40);
    for (const n of refused) assert(!started.has(n), `call ${n} was refused and executed`);
    assertEquals(answered, started);
  }
  assert(crossed > 50, `${crossed} calls crossed`);
});

testSession("an idle connection that is drained ends on both sides", async (open) => {
  await using pair = await open();
  pair.dialled.drain();
  await soon(Promise.all([pair.dialled.closed, pair.accepted.closed]), "both ends");
});
