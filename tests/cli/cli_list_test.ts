// `rpc list` and `rpc describe`: what a server offers, in words and as JSON; of whom, and who does not tell.

import { assertEquals, assertStringIncludes } from "@std/assert";
import { announce, defineService, method, Registry, Server } from "../../mod.ts";
import * as v from "npm:valibot@1.5.0";
import { cli } from "../support/cli_shell.ts";
import { CliServer } from "../support/cli_server.ts";

const LISTED = `Numbers
  Numbers.root     unary
  Numbers.now      unary          idempotent
  Numbers.upTo     server stream
  Numbers.sum      client stream
  Numbers.squares  conversation
Echo
  Echo.echo      unknown
  Echo.metadata  unknown
Slow
  Slow.wait   unknown
  Slow.count  unknown
`;

Deno.test("cli list: services with their methods and kinds", async () => {
  await using server = await CliServer.open();
  assertEquals(await cli(["list", server.hostAndPort]), { code: 0, out: LISTED, err: "" });
  const echo = "Echo\n  Echo.echo      unknown\n  Echo.metadata  unknown\n";
  assertEquals((await cli(["list", server.address, "Echo"])).out, echo);
  const own = (await cli(["list", server.address, "rpc.Reflection"])).out;
  assertStringIncludes(own, "  rpc.Reflection.stats     server stream  idempotent\n");
  const unknown = await cli(["list", server.address, "Ech"]);
  assertEquals([unknown.code, unknown.out], [1, ""]);
  assertStringIncludes(
    unknown.err,
    'The server has no service "Ech"; it has Numbers, Echo, Slow, rpc.Health, rpc.Reflection',
  );
  await using none = new Server();
  const { address } = await none.listen("tcp@127.0.0.1:0");
  assertEquals((await cli(["list", address])).out, "No services\n");
});

Deno.test("cli list: as JSON", async () => {
  await using server = await CliServer.open();
  const { out } = await cli(["list", server.address, "Numbers", "--json"]);
  assertEquals(out.trimEnd().includes("\n"), false);
  const { address, services: [{ name, methods }] } = JSON.parse(out);
  assertEquals([address, name], [server.address, "Numbers"]);
  assertEquals(methods[1], { method: "Numbers.now", kind: "call", idempotent: true });
});

Deno.test("cli list: lists every server of a registry, though some cannot be reached", async () => {
  await using registry = new Registry();
  await using web = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, registry.fetch);
  const url = `http://127.0.0.1:${web.addr.port}`;
  await using one = await CliServer.open();
  await using two = new Server().register("Two", { ok: () => 2 });
  const { address } = await two.listen("tcp@127.0.0.1:0");
  await using _one = await announce(url, { address: one.address, services: ["Numbers", "Echo", "Slow"] });
  await using _two = await announce(url, { address, services: ["Two"] });
  const both = await cli(["list", url]);
  assertEquals(both.code, 0);
  assertStringIncludes(both.out, `${one.address}:\n${LISTED}`);
  assertStringIncludes(both.out, `${address}:\nTwo\n  Two.ok  unknown\n`);
  assertEquals((await cli(["list", url, "--service", "Two"])).out, "Two\n  Two.ok  unknown\n");
  assertEquals((await cli(["list", address, "--service", "Two"])).code, 2);

  await two.close();
  const rest = await cli(["list", url]);
  assertEquals(rest.code, 1);
  assertStringIncludes(rest.out, LISTED);
  assertStringIncludes(rest.out, `${address}:\nunavailable: Cannot connect to ${address}`);
  const lines = (await cli(["list", url, "--json"])).out.trimEnd().split("\n").map((line) =>
    JSON.parse(line)
  );
  assertEquals(lines.map(({ services, error }) => services?.length ?? error.code).sort(), [3, "unavailable"]);
});

Deno.test("cli list, describe: a server without reflection is reported, with the likely reason", async () => {
  await using server = await CliServer.open({ reflection: false });
  for (
    const args of [["list", server.address], ["describe", server.address, "Echo"], ["top", server.address]]
  ) {
    const { code, out, err } = await cli(args);
    assertEquals([code, out], [1, ""]);
    assertStringIncludes(err, 'rpc: unimplemented: Unknown service "rpc.Reflection"\n');
    assertStringIncludes(err, `${server.address} does not support reflection: its option reflection is off`);
  }
});

Deno.test("cli describe: a service or a method, with what is checked by whom", async () => {
  await using server = await CliServer.open();
  const root = `Numbers.root  unary
  arguments: checked by zod
    {
      "type": "number",
      "minimum": 0
    }
  result: checked by zod
    {
      "type": "number"
    }
`;
  assertEquals((await cli(["describe", server.address, "Numbers.root"])).out, root);
  const rest = "Numbers.now  unary  idempotent\nNumbers.upTo  server stream\n";
  assertStringIncludes((await cli(["describe", server.address, "Numbers"])).out, root + rest);
  const json = JSON.parse((await cli(["describe", server.address, "Numbers.root", "--json"])).out);
  assertEquals(json.methods[0].args.jsonSchema.minimum, 0);
  const unknown = await cli(["describe", server.address, "Nobody"]);
  assertEquals(unknown.code, 1);
  assertStringIncludes(unknown.err, 'rpc: not_found: There is no service and no method "Nobody"');

  const Other = defineService("Other", { set: method({ args: v.object({ a: v.number() }) }) });
  server.server.register(Other, { set() {} });
  const other = await cli(["describe", server.address, "Other.set"]);
  assertEquals(other.out, "Other.set  unary\n  arguments: checked by valibot\n");
});

Deno.test("cli describe: finds a server of a registry that knows the name, though another is away", async () => {
  await using registry = new Registry();
  await using web = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, registry.fetch);
  const url = `http://127.0.0.1:${web.addr.port}`;
  await using _gone = await announce(url, { address: "tcp@127.0.0.1:1", services: ["Numbers"] });
  await using server = await CliServer.open();
  await using _here = await announce(url, { address: server.address, services: ["Numbers"] });
  const { code, out } = await cli(["describe", url, "Numbers.now"]);
  assertEquals([code, out], [0, "Numbers.now  unary  idempotent\n"]);
  const unknown = await cli(["describe", url, "Numbers.never"]);
  assertStringIncludes(unknown.err, "rpc: not_found: ");
});

Deno.test("cli list, describe, top: an invalid answer is reported as such, and cannot control the terminal", async () => {
  let lie: unknown;
  await using server = new Server().use(async (call, next) => {
    return call.method.startsWith("rpc.") ? { value: lie, metadata: new Map() } : await next(call);
  }).register("S", { ok: () => "ok" });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  for (lie of [5, null, [5], [{ name: "S" }], [{ name: "S", methods: [{ method: 1 }] }], { name: "S" }]) {
    for (const command of [["list", address], ["describe", address, "S"]]) {
      const { code, err } = await cli(command);
      assertEquals([code, err], [
        1,
        "rpc: data_loss: Cannot read the server's description of its services\n",
      ]);
    }
    const { code, err } = await cli(["call", address, "S.no"]);
    assertEquals([code, err], [1, 'rpc: unimplemented: Service "S" has no method "no"\n']);
  }
  lie = [{ name: "\x1b[2J", methods: [{ method: "\x9bm", kind: "\x1b", idempotent: 5 }] }];
  assertEquals((await cli(["list", address])).out, "\\u{1b}[2J\n  \\u{9b}m  unknown  idempotent\n");
  lie = {
    name: "S",
    methods: [{ method: "S.x", kind: "call", args: { vendor: "\x1b", jsonSchema: { "\x9b": 1 } } }],
  };
  const { out } = await cli(["describe", address, "S"]);
  assertEquals(out, 'S.x  unary\n  arguments: checked by \\u{1b}\n    {\n      "\\u009b": 1\n    }\n');
  for (
    const stats of [5, null, {}, { connections: 1, inFlight: 0, methods: [{ method: "S.ok", calls: "1" }] }]
  ) {
    lie = ReadableStream.from([stats]);
    const { code, err } = await cli(["top", address]);
    assertEquals([code, err], [1, "rpc: data_loss: Cannot read the server's report\n"]);
  }
});
