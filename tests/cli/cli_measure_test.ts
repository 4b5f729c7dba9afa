// `rpc ping` and `rpc bench`: what they count, and how they end.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { announce, oneOfTokens, Registry, RpcError, Server } from "../../mod.ts";
import { Cli, cli } from "../support/cli_shell.ts";
import { CliServer } from "../support/cli_server.ts";
import { until } from "../support/waiting.ts";

Deno.test("cli ping: makes a connection and a round trip each time, with or without reflection", async () => {
  for (const reflection of [true, false]) {
    await using server = await CliServer.open({ reflection });
    const { code, out, err } = await cli(["ping", server.hostAndPort, "--count", "3", "--interval", "10"]);
    assertEquals([code, err], [0, ""]);
    const lines = out.trimEnd().split("\n");
    for (const line of lines.slice(0, 3)) {
      assertMatch(line, /^tcp@127\.0\.0\.1:\d+ {2}handshake \d+(\.\d+)? ms {2}round trip \d+(\.\d+)? ms$/);
    }
    assertEquals(lines.slice(3, 5).map((line) => line.replace(/ +/g, " ")), [
      "3 sent, 3 answered",
      "ms min mean max",
    ]);
    assertMatch(out, /\nhandshake( +\d+(\.\d+)?){3}\nround trip( +\d+(\.\d+)?){3}\n$/);
    // They are of the times that were printed for each.
    for (const name of ["handshake", "round trip"]) {
      const times = Array.from(out.matchAll(new RegExp(`${name} ([\\d.]+) ms`, "g")), ([, ms]) => Number(ms));
      const [min, mean, max] = lines.find((line) => line.startsWith(name))!.match(/[\d.]+/g)!.map(Number);
      assertEquals([times.length, min, max], [3, Math.min(...times), Math.max(...times)]);
      assert(Math.abs(mean! - times.reduce((a, b) => a + b) / 3) < max! / 100 + 0.01, out);
    }
    assertEquals([server.server.stats().accepted, server.server.stats().inFlight], [3, 0]);
    // Nothing was called by it.
    assertEquals(server.server.stats().methods.every(({ calls }) => calls === 0), true);
  }
});

Deno.test("cli ping: a server that does not answer is reported, and the exit code is 1", async () => {
  await using server = await CliServer.open({ authenticate: oneOfTokens(["secret"]) });
  const refused = await cli(["ping", server.address, "--count=1"]);
  assertEquals(refused.code, 1);
  assertStringIncludes(refused.out, `${server.address}  unauthenticated: `);
  assertStringIncludes(refused.out, "\n1 sent, 0 answered\n");
  assertEquals((await cli(["ping", server.address, "--count=1", "--token=secret"])).code, 0);
  const gone = await cli(["ping", "127.0.0.1:1", "--count=1", "--json"]);
  assertEquals([gone.code, JSON.parse(gone.out).error.code], [1, "unavailable"]);
});

Deno.test("cli ping: all servers of a registry, and Ctrl-C with the sum", async () => {
  await using registry = new Registry();
  await using web = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, registry.fetch);
  const url = `http://127.0.0.1:${web.addr.port}`;
  await using one = await CliServer.open();
  await using two = await CliServer.open();
  await using _one = await announce(url, { address: one.address, services: ["A"] });
  await using _two = await announce(url, { address: two.address, services: ["B"] });
  const all = await cli(["ping", url, "--count", "1", "--json"]);
  const addresses = all.out.trimEnd().split("\n").map((line) => JSON.parse(line).address);
  assertEquals(addresses.sort(), [one.address, two.address].sort());
  const run = new Cli(["ping", url, "--count", "none", "--service", "B", "--interval", "1h"]);
  await until(() => run.out.includes("round trip"), "the first ping");
  run.interrupt();
  assertEquals([await run.done, run.err], [130, ""]);
  assertStringIncludes(run.out, "1 sent, 1 answered\n");
  const none = await cli(["ping", url, "--service", "C"]);
  assertStringIncludes(none.err, "lists no server that offers C");
});

Deno.test("cli bench: calls, rate and percentiles, by so many callers over so many connections", async () => {
  let most = 0;
  let running = 0;
  await using server = new Server().register("S", {
    async work() {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 1));
      running--;
    },
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const flags = ["--connections", "3", "--concurrency", "7", "--duration", "300ms", "--json"];
  const { code, out, err } = await cli(["bench", address, "S.work", ...flags]);
  assertEquals([code, err], [0, ""]);
  const report = JSON.parse(out);
  assertEquals([report.method, report.errors, most], ["S.work", {}, 7]);
  assertEquals(server.stats().accepted, 3);
  assert(report.seconds >= 0.29 && report.calls >= 7, out);
  assertEquals(Math.round(report.rate * report.seconds), report.calls);
  const { mean, p50, p90, p99, max } = report.latency;
  assert(0.9 < p50 && p50 <= p90 && p90 <= p99 && p99 <= max && mean <= max, out);
  // All it has counted was called, and at most those that were under way besides, and the first.
  const { calls } = server.stats().methods[0]!;
  assert(report.calls < calls && calls <= report.calls + 8, `${report.calls} of ${calls}`);
});

Deno.test("cli bench: errors by code, with the first message of each", async () => {
  let calls = 0;
  await using server = new Server().register("S", {
    work() {
      if (calls++ % 2 === 1) throw new RpcError("resource_exhausted", `Too many, ${calls}`);
    },
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const { code, out } = await cli(["bench", address, "S.work", "--duration", "100", "--concurrency", "1"]);
  assertEquals(code, 0);
  assertMatch(out, /^\d+ calls in \d+\.\d\d s, \d+ errors?\n/);
  assertMatch(out, /\ncalls\/s +mean ms +p50 ms +p90 ms +p99 ms +max ms\n/);
  assertMatch(out, /\nresource_exhausted: \d+, for example: Too many, 2\n$/);
});

Deno.test("cli bench: the exit code is 1 if no call succeeds, and a streaming method is refused at once", async () => {
  await using server = await CliServer.open();
  const failing = await cli(["bench", server.address, "Numbers.root", "-1", "--duration", "50"]);
  assertEquals(failing.code, 1);
  assertMatch(failing.out, /^(\d+) calls in \d+\.\d\d s, \1 errors\ninvalid_argument: \1, for example: /);
  const streaming = await cli(["bench", server.address, "Numbers.upTo", "3", "--duration", "1h"]);
  assertEquals([streaming.code, streaming.out], [1, ""]);
  assertStringIncludes(streaming.err, "Numbers.upTo answers with a stream");
});

Deno.test("cli bench: a method that is unknown is not called again and again", async () => {
  await using server = await CliServer.open();
  const { code, err } = await cli(["bench", server.address, "Numbers.rot", "--duration", "1h"]);
  assertEquals(code, 1);
  assertStringIncludes(err, "Did you mean Numbers.root?");
});

Deno.test("cli bench: Ctrl-C prints the results so far; a terminal shows progress", async () => {
  await using server = await CliServer.open();
  const args = ["bench", server.address, "Echo.echo", "1", "--duration", "1h"];
  const run = new Cli(args, { size: { columns: 80, rows: 24 } });
  await until(() => / [1-9]\d* calls {2}[1-9]/.test(run.err), "progress");
  run.interrupt();
  assertEquals(await run.done, 130);
  assertMatch(run.out, /^\d+ calls in /);
  assert(run.err.endsWith("\r\x1b[K"), "the line of progress is taken away");
});

Deno.test("cli bench: a server that goes away in the middle is errors, and an end", async () => {
  await using server = await CliServer.open();
  const run = new Cli(["bench", server.address, "Echo.echo", "1", "--duration", "3s"]);
  await until(() => server.server.stats().methods.some(({ calls }) => calls > 100), "calls");
  await server.server.close();
  assertEquals(await run.done, 0);
  assertMatch(run.out, /\nunavailable: \d+, for example: /);
});

/** A server whose calls, after the first one, wait until `ready` resolves. */
async function holding(ready: (calls: number) => Promise<void>): Promise<Server & { address: string }> {
  let calls = 0;
  const server = new Server().register("S", {
    // The first call is made before anything is measured.
    work: () => calls++ === 0 ? undefined : ready(calls),
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  return Object.assign(server, { address });
}

Deno.test("cli bench: in an open loop, the latency of a delayed call counts from when it was due", async () => {
  const gate = Promise.withResolvers<void>();
  await using server = await holding((calls) => {
    if (calls === 200) gate.resolve();
    return gate.promise;
  });
  const flags = ["--rate", "200", "--duration", "3s", "--json"];
  const { code, out } = await cli(["bench", server.address, "S.work", ...flags]);
  assertEquals(code, 0);
  const { calls, latency, loop, unanswered } = JSON.parse(out);
  assertEquals([loop.kind, loop.rate], ["open", 200]);
  assert(loop.latestStart >= 0);
  assert(calls + unanswered.count >= 600, out);
  // A third of the calls waited for what was left of the first second.
  assert(latency.max >= 980 && latency.p90 >= 500 && latency.mean >= 100, out);
});

Deno.test("cli bench: in an open loop, calls that begin late for want of room count from when they were due", async () => {
  let gate: Promise<void> | undefined;
  await using server = await holding(() => gate ??= new Promise((resolve) => setTimeout(resolve, 300)));
  const flags = ["--rate", "200", "--concurrency", "1", "--duration", "2s"];
  const { out } = await cli(["bench", server.address, "S.work", ...flags]);
  const [, late] =
    /\nopen loop: 200 calls per second; the latest started (\d+(?:\.\d+)?) ms late\n$/.exec(out) ?? [];
  assert(Number(late) >= 280, out);
});

Deno.test("cli bench: calls that are not answered in the end are counted, with their ages; none at all is a failure", async () => {
  let calls = 0;
  await using server = new Server().register("S", {
    work: (hangAfter: number) => calls++ < hangAfter ? undefined : new Promise(() => {}),
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const hung = await cli(["bench", address, "S.work", "20", "--concurrency", "3", "--duration", "1s"]);
  assertEquals(hung.code, 0);
  const [, mean, max] =
    /\n3 calls unanswered at the end, for ([\d.]+) ms on average, ([\d.]+) ms at most\n/.exec(hung.out) ??
      [];
  assert(Number(mean) > 0 && Number(max) >= Number(mean), hung.out);
  assertMatch(hung.out, /\nclosed loop: 3 callers; a slow response delays the calls after it\n$/);
  calls = 0;
  const flags = ["--rate", "100", "--concurrency", "2", "--duration", "300ms", "--json"];
  const { code, out } = await cli(["bench", address, "S.work", "1", ...flags]);
  const { unanswered } = JSON.parse(out);
  assertEquals([code, JSON.parse(out).calls], [1, 0]);
  // Those, too, that were due and found no room.
  assert(unanswered.count >= 30 && unanswered.maxAge >= 290 && unanswered.meanAge >= 140, out);
});
