// Servers that tell the command line more than anybody would read, or what would steer a terminal.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { nearest } from "../../call/nearest.ts";
import { columns } from "../../cli/format.ts";
import { RESERVED } from "../../call/reflection.ts";
import { type Interceptor, Server } from "../../mod.ts";
import { cli } from "../support/cli_shell.ts";

/** Answers for `rpc.Reflection` with whatever it is made with. */
function lying(answer: unknown): Interceptor {
  return (call, next) =>
    call.method.startsWith(RESERVED) ? { value: answer, metadata: new Map() } : next(call);
}

function methods(count: number, name: (i: number) => string): unknown {
  return [{ name: "A", methods: Array.from({ length: count }, (_, i) => ({ method: name(i) })) }];
}

Deno.test("cli hostile: a table of more rows than a function takes arguments", () => {
  const lines = columns(Array.from({ length: 250_000 }, (_, i) => [String(i % 1_000), "b"]));
  assertEquals([lines.length, lines[0], lines[249_999]], [250_000, "0    b", "999  b"]);
});

Deno.test("cli hostile: a cell that is too long shifts its own row only", () => {
  const long = "x".repeat(1_000_000);
  const rows = [[long, "b"], ...Array.from({ length: 10_000 }, () => ["a", "b"])];
  const lines = columns(rows);
  assertEquals(lines[0], `${long}  b`);
  assert(lines[1]!.length < 200, `${lines[1]!.length}`);
  assertEquals(columns([["xx", "1"], ["x", long]], 1).map((line) => line.length < 200), [true, false]);
});

Deno.test("cli hostile: a server with a great many methods, one with a very long name, is listed", async () => {
  const names = methods(30_000, (i) => i === 0 ? "x".repeat(1_000_000) : `A.${i}`);
  await using server = new Server({ maxFrameBytes: 4_000_000 }).use(lying(names));
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const { code, out, err } = await cli(["list", address]);
  assertEquals([code, err, out.split("\n").length], [0, "", 30_002]);
  assert(out.length < 6_000_000, `${out.length}`);
});

Deno.test("cli hostile: a server that has five thousand methods is listed, and looked at", async () => {
  const service = Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`m${i}`, () => i]));
  await using server = new Server().register("Many", service);
  const { address } = await server.listen("tcp@127.0.0.1:0");
  for (const codec of ["cbor", "json"]) {
    const flags = ["--codec", codec, "--json"];
    const { out, err } = await cli(["top", address, "--interval", "100", "--count", "1", ...flags]);
    assertEquals([JSON.parse(out).rows.length, err], [5_000, ""]);
    const listed = await cli(["list", address, ...flags]);
    assertEquals(JSON.parse(listed.out).services[0].methods.length, 5_000);
  }
  // However many there are, what is nearest is found.
  assertStringIncludes((await cli(["call", address, "Many.m4999x"])).err, "Did you mean Many.m4999?");
});

Deno.test("cli hostile: suggestions look only at similar names, and for a limited time", () => {
  const looked: string[] = [];
  const name = (text: string) => {
    const lowerCase = () => (looked.push(text), text.toLowerCase());
    return { length: text.length, toLowerCase: lowerCase } as unknown as string;
  };
  // Too long and too short: nothing to add or leave out makes them alike.
  nearest("method", [name("x".repeat(200)), name("method12"), name("metho"), name("met"), name("methods12")]);
  assertEquals(looked, ["method12", "metho"]);
  looked.length = 0;
  nearest("x".repeat(200), Array.from({ length: 20_000 }, (_, i) => name(String(i).padEnd(200, "y"))));
  assertEquals(looked.length, 100);
  assertEquals(nearest("method", [...Array.from({ length: 20_000 }, () => "mothed"), "methods"]), "methods");
  assertEquals(nearest("method", ["x".repeat(99), "mezhod", "metho"]), "mezhod");
});

Deno.test("cli hostile: a misspelt method of a server with many long names is answered at once", async () => {
  const names = methods(20_000, (i) => "A." + String(i).padEnd(195, "y"));
  await using server = new Server({ maxFrameBytes: 8_000_000 }).use(lying(names)).register("A", {
    a: () => 1,
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const { code, err } = await cli(["call", address, "A.ab"]);
  assertEquals(code, 1);
  assertMatch(err, /^rpc: unimplemented: /);
});
