// Completions, as bash takes them.

import { assertEquals } from "@std/assert";
import { cli } from "../support/cli_shell.ts";
import { missing } from "../support/programs.ts";

const skipped = await missing("bash");

Deno.test({
  name: `cli completions: bash completes commands, flags and their values${skipped}`,
  ignore: skipped !== "",
  async fn() {
    const { out } = await cli(["completions", "bash"]);
    const cases: [string[], string[]][] = [
      [["c"], ["call", "completions"]],
      [["top", "a:1", "--i"], ["--insecure", "--interval"]],
      [["call", "--codec", ""], ["cbor", "json"]],
      [["completions", ""], ["--help", "bash", "fish", "zsh"]],
      [["call", "--token", ""], []],
    ];
    const asked = cases.map(([line]) => {
      const typed = ["rpc", ...line].map((word) => `'${word}'`).join(" ");
      return `COMP_WORDS=(${typed}); COMP_CWORD=${line.length}; _rpc; echo "\${COMPREPLY[*]}"`;
    });
    const command = new Deno.Command("bash", {
      args: ["-c", `${out}\n${asked.join("\n")}`],
      stderr: "piped",
    });
    const { stdout, stderr } = await command.output();
    assertEquals(new TextDecoder().decode(stderr), "");
    const lines = new TextDecoder().decode(stdout).split("\n").slice(0, -1);
    const found = lines.map((line) => line.split(" ").filter((word) => word !== "").sort());
    assertEquals(found, cases.map(([, expected]) => expected));
  },
});
