// The command line as such: help, flags, misspelt words, completions.

import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { COMMANDS } from "../../cli/commands.ts";
import { readArgs } from "../../cli/flags.ts";
import { nearest } from "../../call/nearest.ts";
import { columns } from "../../cli/format.ts";
import { cli } from "../support/cli_shell.ts";

Deno.test("cli: without a command the usage goes to the error output, and the code is 2", async () => {
  const { code, out, err } = await cli([]);
  assertEquals([code, out], [2, ""]);
  for (const { name, operands, summary } of COMMANDS) {
    assertMatch(
      err,
      new RegExp(`^ {2}${RegExp.escape(`${name} ${operands}`)} +${RegExp.escape(summary)}$`, "m"),
    );
  }
  for (const args of [["--help"], ["-h"], ["help"]]) {
    assertEquals(await cli(args), { code: 0, out: err, err: "" });
  }
});

Deno.test("cli: every command has its help, by --help, -h and help COMMAND, whatever else is there", async () => {
  for (const { name, flags, examples } of COMMANDS) {
    const { code, out, err } = await cli([name, "--help"]);
    assertEquals([code, err], [0, ""]);
    assertEquals((await cli([name, "x", "-h", "y", "z", "too many"])).out, out);
    assertEquals((await cli(["help", name])).out, out);
    for (const flag of flags) assertMatch(out, new RegExp(`^ {2}--${flag.name}( [A-Z=]+)? +\\S`, "m"));
    assert(examples.length > 0);
    for (const line of out.split("\n")) assert(line.length <= 110, line);
  }
});

/** The words of a line as a shell takes them apart. */
function words(line: string): string[] {
  const [command = ""] = line.split(/ [<>] /);
  return [...command.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, one, two, bare]) => one ?? two ?? bare!);
}

Deno.test("cli: the examples in the help are command lines that are taken", () => {
  for (const { name, operands, flags, examples } of COMMANDS) {
    const expected = operands.split(" ");
    const least = expected.filter((operand) => !operand.startsWith("[")).length;
    for (const [example] of examples) {
      const [command, ...args] = words(example);
      assertEquals(command, name);
      const given = readArgs(args, flags).operands.length;
      assert(least <= given && given <= expected.length, example);
    }
  }
});

Deno.test("cli: the nearest name is suggested for a misspelled command", async () => {
  const wrong: [string[], string][] = [
    [["cal"], 'unknown command "cal"; did you mean call?'],
    [["lsit"], "did you mean list?"],
    [["TOP"], "did you mean top?"],
    [["help", "pong"], "did you mean ping?"],
    [["frobnicate"], "the commands are call, list, describe, ping, health, bench, watch, top, completions"],
    [["--json", "call"], "expected a command before --json"],
  ];
  for (const [args, message] of wrong) {
    const { code, out, err } = await cli(args);
    assertEquals([code, out], [2, ""]);
    assertStringIncludes(err, message);
  }
});

Deno.test("cli: --version is that of the package", async () => {
  const expected = { code: 0, out: `rpc ${config.version} (@troodon/rpc)\n`, err: "" };
  assertEquals(await cli(["--version"]), expected);
  assertEquals(await cli(["call", "--version"]), expected);
});

Deno.test("cli: flags and operands in any order; -- ends the flags", () => {
  const known = [{ name: "a", value: "A", help: "" }, { name: "b", help: "" }];
  const read = (...args: string[]) => {
    const { operands, flags } = readArgs(args, known);
    return { operands, a: flags.all("a"), b: flags.has("b") };
  };
  assertEquals(read("x", "--a", "1", "y", "--b"), { operands: ["x", "y"], a: ["1"], b: true });
  assertEquals(read("--a=1=2", "--a="), { operands: [], a: ["1=2", ""], b: false });
  assertEquals(read("--a", "--b", "-"), { operands: ["-"], a: ["--b"], b: false });
  assertEquals(read("-1", "-.5", "--", "--b", "--"), {
    operands: ["-1", "-.5", "--b", "--"],
    a: [],
    b: false,
  });
  for (const arg of ["-b", "--c", "--B", "--toString"]) {
    assertThrows(() => read(arg), Error, `unknown flag ${arg}`);
  }
});

Deno.test("cli: durations have units, and a least", () => {
  const known = [{ name: "time", value: "TIME", help: "" }];
  const read = (text: string, least?: number) =>
    readArgs(["--time", text], known).flags.duration("time", 7, least);
  assertEquals(["5", "5ms", "1.5s", "2m", "1h"].map((text) => read(text)), [5, 5, 1_500, 120_000, 3_600_000]);
  assertEquals(readArgs([], known).flags.duration("time", 7), 7);
  for (const text of ["", "0", "-1", "5 s", "1d", "NaN", "1e3", "600h"]) {
    assertThrows(() => read(text), Error, "--time: expected a duration");
  }
  assertThrows(() => read("99", 100), Error, "at least 100 ms");
});

Deno.test("cli: what is nearest to a name, if anything is near", () => {
  assertEquals(nearest("lsit", ["list", "top"]), "list");
  assertEquals(nearest("Arith.summ", ["Arith.sum", "Arith.sub"]), "Arith.sum");
  assertEquals(nearest("ls", ["list", "top"]), "list");
  assertEquals(nearest("x", ["list", "top", "ca"]), undefined);
  assertEquals(nearest("a".repeat(100_000), ["b".repeat(100_000)]), undefined);
});

Deno.test("cli: columns are aligned, and cells cannot steer a terminal", () => {
  assertEquals(columns([["a", "1"], ["bbb", "10"]], 1), ["a     1", "bbb  10"]);
  assertEquals(columns([["a\x1b", "b"]]), ["a\\u{1b}  b"]);
  assertEquals(columns([]), []);
});

Deno.test("cli: an internal failure is reported with its place and code 1", async () => {
  const { code, err } = await cli(["completions", "bash"], {
    printed: () => {
      throw new Error("the disk is full");
    },
  });
  assertEquals(code, 1);
  assertMatch(err, /^rpc: Error: the disk is full\n +at /);
});

Deno.test("cli completions: of every command and flag, for each shell; no other shell", async () => {
  for (const shell of ["bash", "zsh", "fish"]) {
    const { code, out } = await cli(["completions", shell]);
    assertEquals(code, 0);
    for (const { name, flags } of COMMANDS) {
      assertStringIncludes(out, name);
      for (const flag of flags) {
        assertStringIncludes(out, shell === "fish" ? ` -l ${flag.name} ` : `--${flag.name}`);
      }
    }
  }
  const { code, err } = await cli(["completions", "ksh"]);
  assertEquals(code, 2);
  assertStringIncludes(err, 'unknown shell "ksh": expected bash, zsh or fish');
});
