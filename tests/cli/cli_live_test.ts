// `rpc watch` and `rpc top`: what changes is seen as it happens, on a terminal and elsewhere.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { announce, connect, Registry, Server } from "../../mod.ts";
import { OutputClosed } from "../../cli/main.ts";
import { Cli, cli } from "../support/cli_shell.ts";
import { CliServer } from "../support/cli_server.ts";
import { until } from "../support/waiting.ts";

/** A registry on a port that it can come back to. */
class Listed implements AsyncDisposable {
  #registry = new Registry();
  #web = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request) => this.#registry.fetch(request),
  );
  readonly url = `http://127.0.0.1:${this.#web.addr.port}`;

  async stop(): Promise<void> {
    await this.#registry.close();
    await this.#web.shutdown();
  }

  start(): void {
    this.#registry = new Registry();
    const { port } = new URL(this.url);
    this.#web = Deno.serve(
      { hostname: "127.0.0.1", port: Number(port), onListen() {} },
      (request) => this.#registry.fetch(request),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

Deno.test("cli watch: what is listed, then each change as it happens", async () => {
  await using registry = new Listed();
  const address = "tcp@127.0.0.1:1";
  const one = await announce(registry.url, {
    address,
    services: ["Echo"],
    version: "1.2",
    metadata: { zone: "a" },
  });
  const run = new Cli(["watch", registry.url]);
  const json = new Cli(["watch", registry.url, "--json"]);
  await until(() => run.out !== "" && json.out !== "", "the list");
  assertMatch(run.out, /^\d\d:\d\d:\d\d {2}\+ tcp@127\.0\.0\.1:1 {2}Echo {2}version 1\.2 {2}zone=a\n$/);
  const two = await announce(registry.url, { address: "tcp@127.0.0.1:2", weight: 2 });
  await until(() => run.out.includes("+ tcp@127.0.0.1:2  weight 2\n"), "the second");
  await two.close();
  await until(() => run.out.includes("- tcp@127.0.0.1:2  weight 2\n"), "its end");
  await one.close();
  await using _again = await announce(registry.url, { address, services: ["Echo"], weight: 3 });
  await until(() => run.out.includes("  weight 3\n"), "what it says now");
  await until(() => json.out.includes('"weight":3'), "the same as JSON");
  run.interrupt();
  json.interrupt();
  assertEquals([await run.done, await json.done, run.err + json.err], [130, 130, ""]);
  const changes = json.out.trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals(changes.slice(0, 3).map(({ change, server }) => [change, server.address]), [
    ["added", address],
    ["added", "tcp@127.0.0.1:2"],
    ["removed", "tcp@127.0.0.1:2"],
  ]);
  assertEquals(new Date(changes[0].time).toISOString(), changes[0].time);
});

Deno.test("cli watch: reports a registry that goes away and comes back; one that was never reachable is an error", async () => {
  await using registry = new Listed();
  const run = new Cli(["watch", registry.url]);
  const registration = await announce(registry.url, { address: "tcp@127.0.0.1:1" }, { interval: 100 });
  await until(() => run.out.includes("+ tcp@127.0.0.1:1"), "the server");
  await registry.stop();
  await until(() => run.err.includes("Cannot reach registry"), "that it is away");
  const away = await cli(["watch", registry.url]);
  assertEquals(away.code, 1);
  assertStringIncludes(away.err, "rpc: unavailable: Cannot reach registry");
  registry.start();
  await until(() => run.err.includes("rpc: the registry is back\n"), "that it is back");
  run.interrupt();
  assertEquals(await run.done, 130);
  await registration.close();
});

Deno.test("cli watch: works with registries only, for all services or one", async () => {
  assertEquals((await cli(["watch", "tcp@127.0.0.1:1"])).code, 2);
  await using registry = new Listed();
  await using _one = await announce(registry.url, { address: "tcp@127.0.0.1:1", services: ["Echo"] });
  await using _two = await announce(registry.url, { address: "tcp@127.0.0.1:2", services: ["Other"] });
  const run = new Cli(["watch", registry.url, "--service", "Other"]);
  await until(() => run.out !== "", "the list");
  run.interrupt();
  await run.done;
  assertMatch(run.out, /^\S+ {2}\+ tcp@127\.0\.0\.1:2 {2}Other\n$/);
});

Deno.test("cli top: without a terminal a table for each report from the second on", async () => {
  await using server = await CliServer.open();
  const { code, out, err } = await cli(["top", server.hostAndPort, "--interval", "100", "--count", "2"]);
  assertEquals([code, err], [0, ""]);
  const tables = out.trimEnd().split("\n\n");
  assertEquals(tables.length, 2);
  for (const table of tables) {
    const [head, titles, ...rows] = table.split("\n");
    assertMatch(
      head!,
      /^\d\d:\d\d:\d\d {2}tcp@127\.0\.0\.1:\d+ {2}1 connection {2}0 in flight {2}0 calls\/s {2}0 errors\/s$/,
    );
    assertEquals(titles!.split(/ {2,}/).slice(0, 4), ["METHOD", "CALLS/S", "ERRORS/S", "IN FLIGHT"]);
    assertEquals(rows.length, 9);
    assertEquals(rows.some((row) => row.includes("rpc.")), false);
  }
});

Deno.test("cli top: prints JSON with rates and all figures of the server", async () => {
  await using server = await CliServer.open();
  const { out } = await cli(["top", server.address, "--interval", "100", "--count", "1", "--json"]);
  const report = JSON.parse(out);
  assertEquals([report.address, report.rows.length], [server.address, 9]);
  assertEquals(Object.keys(report.stats).sort(), Object.keys(server.server.stats()).sort());
});

Deno.test("cli top: redraws one screen on a terminal, and restores it", async () => {
  await using server = await CliServer.open();
  const size = { columns: 60, rows: 8 };
  const run = new Cli(["top", server.address, "--interval", "100"], { size });
  await until(() => run.out.split("\x1b[H").length > 3, "a few drawings");
  run.interrupt();
  assertEquals([await run.done, run.err], [130, ""]);
  assert(run.out.startsWith("\x1b[?1049h\x1b[?25l") && run.out.endsWith("\x1b[?25h\x1b[?1049l"));
  const last = run.out.split("\x1b[H").at(-1)!.replace("\x1b[?25h\x1b[?1049l", "");
  assert(last.endsWith("\x1b[J"));
  const lines = last.replaceAll("\x1b[K", "").replace("\x1b[J", "").trimEnd().split("\n");
  assert(lines.length < size.rows && lines.every((line) => line.length <= size.columns), last);
  assertStringIncludes(last, "METHOD");
});

/** The lines of the last whole drawing. */
function drawn(run: Cli): string[] {
  const [, ...drawings] = run.out.split("\x1b[H");
  const whole = drawings.map((drawing) => drawing.split("\x1b[J")).filter(({ length }) => length > 1);
  return (whole.at(-1)?.[0] ?? "").replaceAll("\x1b[K", "").trimEnd().split("\n");
}

Deno.test("cli top: the last line says how many methods do not fit, the most called come first", async () => {
  await using server = await CliServer.open();
  await using client = await connect(server.address);
  await client.call("Numbers.root", 4);
  const size = { columns: 60, rows: 8 };
  const run = new Cli(["top", server.address, "--interval", "100"], { size });
  await until(() => drawn(run).length > 3, "a drawing");
  const lines = drawn(run);
  // The title, a line, the server, the heads, two of nine methods; the cursor is in the last line.
  assertEquals(lines.length, 7);
  assertMatch(lines[4]!, /^Numbers\.root /);
  assertEquals(lines[6], "and 7 more methods: use a larger terminal, or --json");
  // As many as fit exactly need no such line.
  size.rows = 14;
  await until(() => drawn(run).length === 13, "the larger screen");
  assertEquals(drawn(run).some((line) => line.includes("more")), false);
  size.rows = 13;
  await until(() => drawn(run).at(-1)!.startsWith("and 2 more methods"), "a smaller one");
  assertEquals(drawn(run).length, 12);
  run.interrupt();
  assertEquals([await run.done, run.err], [130, ""]);
});

Deno.test("cli top: says how many servers do not fit on the screen", async () => {
  await using registry = new Listed();
  const servers = [await CliServer.open(), await CliServer.open(), await CliServer.open()];
  const listed = await Promise.all(servers.map(({ address }) => announce(registry.url, { address })));
  const run = new Cli(["top", registry.url, "--interval", "100"], { size: { columns: 80, rows: 10 } });
  await until(
    () => drawn(run).at(-1) === "and 23 more methods and 2 more servers: use a larger terminal, or --json",
    "it",
  );
  assertEquals(drawn(run).length, 9);
  run.interrupt();
  assertEquals(await run.done, 130);
  await Promise.all([
    ...listed.map((each) => each.close()),
    ...servers.map((each) => each[Symbol.asyncDispose]()),
  ]);
});

Deno.test("cli top: a server that goes away is marked, and shown again when it is back", async () => {
  const first = new Server().register("S", { ok: () => "ok" });
  const { address } = await first.listen("tcp@127.0.0.1:0");
  const run = new Cli(["top", address, "--interval", "100"]);
  await until(() => run.out.includes("S.ok"), "a table");
  await first.close();
  await until(() => run.out.includes("unavailable: "), "that it is away");
  const before = run.out.length;
  await using second = new Server().register("Second", { ok: () => "ok" });
  await second.listen(address);
  await until(() => run.out.slice(before).includes("Second.ok"), "that it is back");
  run.interrupt();
  assertEquals(await run.done, 130);
});

Deno.test("cli top: a server that cannot be reached at all is an error", async () => {
  const { code, err } = await cli(["top", "127.0.0.1:1"]);
  assertEquals(code, 1);
  assertStringIncludes(err, "rpc: unavailable: Cannot connect to tcp@127.0.0.1:1");
});

Deno.test("cli top: a closed output ends it", async () => {
  await using server = await CliServer.open();
  const printed = () => {
    throw new OutputClosed("closed");
  };
  assertEquals((await cli(["top", server.address, "--interval", "100"], { printed })).code, 141);
});

Deno.test("cli top: follows the servers of a registry as they come and go", async () => {
  await using registry = new Listed();
  await using one = await CliServer.open();
  await using _one = await announce(registry.url, { address: one.address });
  const run = new Cli(["top", registry.url, "--interval", "100"]);
  await until(() => run.out.includes(one.address), "the first");
  await using two = await CliServer.open();
  const registration = await announce(registry.url, { address: two.address });
  await until(() => run.out.includes(two.address), "the second");
  await registration.close();
  await until(() => two.server.stats().connections === 0, "the second to be left");
  run.interrupt();
  assertEquals([await run.done, run.err], [130, ""]);
});
