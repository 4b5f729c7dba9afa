// docs/HTTP.md: its server is started, and its curl commands print what the page shows.

import { assert, assertEquals } from "@std/assert";
import { blocksOf, readText } from "../support/markdown.ts";

const ROOT = new URL("../..", import.meta.url);

async function installed(): Promise<boolean> {
  try {
    return (await new Deno.Command("curl", { args: ["--version"], stdout: "null" }).output()).success;
  } catch {
    return false;
  }
}

const present = await installed();

Deno.test({
  name: `docs/HTTP.md: its commands print what it shows${present ? "" : " [SKIPPED: curl is not installed]"}`,
  ignore: !present,
  fn: async () => {
    const blocks = blocksOf(readText("docs/HTTP.md"));
    const [server, commands] = [blocks[0]!, blocks[1]!];
    assertEquals(commands.info, "console");
    const path = await Deno.makeTempFile({ suffix: ".ts" });
    await Deno.writeTextFile(path, server.code.replace("port: 8000", "port: 0"));
    const config = new URL("deno.json", ROOT).pathname;
    const child = new Deno.Command("deno", {
      args: ["run", "-N", "--config", config, path],
      stdout: "null",
      stderr: "piped",
      env: { NO_COLOR: "1" },
    }).spawn();
    const lines = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
    try {
      let said = "";
      let port: string | undefined;
      while (port === undefined) {
        const { value, done } = await lines.read();
        assert(!done, said);
        said += value;
        port = /Listening on http:\/\/127\.0\.0\.1:(\d+)\//.exec(said)?.[1];
      }
      const shown = commands.code.split(/^\$ /m).slice(1);
      assert(shown.length >= 5);
      for (const each of shown) {
        const [command = "", ...expected] = each.split("\n");
        const { stdout } = await new Deno.Command("bash", {
          args: ["-c", command.replace("curl ", "curl -s ").replace("8000", port)],
        }).output();
        assertEquals(new TextDecoder().decode(stdout).trim(), expected.join("\n").trim(), command);
      }
    } finally {
      child.kill("SIGTERM");
      await child.status;
      await lines.cancel();
      await Deno.remove(path);
    }
  },
});
