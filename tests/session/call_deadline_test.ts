// No call outlives its deadline: not while it connects, not while it waits for room, not while its handler sleeps.

import { assert, assertEquals } from "@std/assert";
import { connect, MultiServers } from "../../mod.ts";
import { Link, RawServer } from "../support/service_link.ts";
import { fails, Patient } from "../support/session_pair.ts";
import { soon, until } from "../support/waiting.ts";

Deno.test("timeout: ends a call whose handler sleeps, and aborts the handler", async () => {
  const waiting = new Patient();
  await using link = await Link.open({ wait: waiting.wait });
  for (const timeout of [1, 50, 200]) {
    const began = performance.now();
    await fails(link.call("wait", null, { timeout }), "deadline_exceeded");
    const elapsed = performance.now() - began;
    assert(elapsed >= timeout, `${elapsed} ms for ${timeout}`);
  }
  await until(() => waiting.reasons.length === waiting.started && waiting.started >= 2, "they hear of it");
});

Deno.test("timeout: 0 is an expired deadline, and nothing is sent", async () => {
  await using link = await Link.open({ ok: () => "ok" });
  const error = await fails(link.call("ok", null, { timeout: 0 }), "deadline_exceeded");
  assertEquals(error.notStarted, true);
  assertEquals(link.counts("ok").calls, 0);
  assertEquals(await link.call("ok", null, { timeout: Infinity }), "ok");
});

Deno.test("timeout: the client's default applies to calls without one", async () => {
  const waiting = new Patient();
  await using link = await Link.open({ wait: waiting.wait }, { client: { timeout: 60 } });
  // The default of the library is 30 s.
  await soon(fails(link.call("wait"), "deadline_exceeded"), "the deadline");
  const stop = new AbortController();
  const patient = fails(link.call("wait", null, { timeout: Infinity, signal: stop.signal }), "canceled");
  await new Promise((resolve) => setTimeout(resolve, 80));
  assertEquals(link.client.stats().pending, 1);
  stop.abort();
  await patient;
});

Deno.test("timeout: covers connecting to a server that never answers the handshake", async () => {
  await using silent = new RawServer();
  await using client = await connect(new MultiServers([silent.address]), { connectTimeout: 3_600_000 });
  const began = performance.now();
  const error = await fails(client.call("S.ok", null, { timeout: 100 }), "deadline_exceeded");
  const elapsed = performance.now() - began;
  assert(elapsed >= 99, `it took ${elapsed} ms`);
  assertEquals(error.notStarted, false, "it has left with the handshake");
});

Deno.test("signal: covers connecting to a server that never answers the handshake", async () => {
  await using silent = new RawServer();
  await using client = await connect(new MultiServers([silent.address]));
  const stop = new AbortController();
  const call = fails(client.call("S.ok", null, { signal: stop.signal }), "canceled");
  await until(() => silent.accepted.length === 1, "it is connecting");
  stop.abort("enough");
  const error = await call;
  assertEquals({ cause: error.cause, notStarted: error.notStarted }, { cause: "enough", notStarted: false });
});

Deno.test("timeout: covers waiting for room at a server that is full", async () => {
  const waiting = new Patient();
  await using link = await Link.open({ wait: waiting.wait, ok: () => "ok" }, { server: { maxInFlight: 16 } });
  const stop = new AbortController();
  const held = Array.from(
    { length: 16 },
    () => fails(link.call("wait", null, { signal: stop.signal }), "canceled"),
  );
  await until(() => waiting.started === 16, "it is full");
  const late = await Promise.all(
    Array.from({ length: 200 }, () => fails(link.call("ok", null, { timeout: 60 }), "deadline_exceeded")),
  );
  assert(late.every(({ notStarted }) => notStarted));
  assertEquals(link.counts("ok").calls, 0);
  const patient = link.call("ok");
  stop.abort();
  await Promise.all(held);
  assertEquals(await patient, "ok");
});

Deno.test("signal: an aborted signal ends the call before it begins", async () => {
  await using link = await Link.open({ ok: () => "ok" });
  const reason = new Error("before");
  const error = await fails(link.call("ok", null, { signal: AbortSignal.abort(reason) }), "canceled");
  assertEquals({ cause: error.cause, notStarted: error.notStarted, remote: error.remote }, {
    cause: reason,
    notStarted: true,
    remote: false,
  });
  assertEquals(link.counts("ok").calls, 0);
});

Deno.test("signal: ends the call at once, and its handler's signal aborts with canceled", async () => {
  const waiting = new Patient();
  await using link = await Link.open({ wait: waiting.wait });
  const stop = new AbortController();
  const call = fails(link.call("wait", null, { signal: stop.signal }), "canceled");
  await until(() => waiting.started === 1, "the handler runs");
  stop.abort();
  await call;
  await until(() => waiting.reasons.length === 1, "the handler to be aborted");
  assertEquals((waiting.reasons[0] as { code: string }).code, "canceled");
});

Deno.test("signal: AbortSignal.timeout ends a call as deadline_exceeded", async () => {
  const waiting = new Patient();
  await using link = await Link.open({ wait: waiting.wait });
  const error = await fails(
    link.call("wait", null, { signal: AbortSignal.timeout(30) }),
    "deadline_exceeded",
  );
  assertEquals((error.cause as Error).name, "TimeoutError");
});

Deno.test("signal: a signal for the whole process keeps no listener of 5 000 finished calls", async () => {
  await using link = await Link.open({ echo: (n: number) => n });
  const { signal } = new AbortController();
  let listeners = 0, most = 0;
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
    most = Math.max(most, ++listeners);
    addEventListener.apply(signal, args);
  };
  signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
    listeners--;
    removeEventListener.apply(signal, args);
  };
  const results = await Promise.all(
    Array.from({ length: 5_000 }, (_, n) => link.call("echo", n, { signal })),
  );
  assertEquals({ results: results.length, listeners, most }, { results: 5_000, listeners: 0, most: 1 });
  for (let n = 0; n < 100; n++) await link.call("echo", n, { signal });
  assertEquals({ listeners, most }, { listeners: 0, most: 1 });
});

Deno.test("timeout: late answers and deadlines that cross settle each call once, and reject nothing unseen", async () => {
  await using link = await Link.open({
    spin: (ms: number) => new Promise((resolve) => setTimeout(resolve, ms)),
  });
  let settled = 0;
  for (let round = 0; round < 20; round++) {
    await Promise.allSettled(Array.from({ length: 100 }, (_, n) => {
      const timeout = 2 + n % 4;
      return link.call("spin", timeout - 1, { timeout }).finally(() => settled++);
    }));
  }
  assertEquals({ settled, pending: link.client.stats().pending }, { settled: 2_000, pending: 0 });
  // A call may still be on its way to its handler.
  await link.client.close();
  const { server } = link;
  await until(
    () => server.stats().connections === 0 && server.stats().inFlight === 0,
    "all handlers to return",
  );
});
