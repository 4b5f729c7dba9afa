// docs/CLI.md shows commands with what they print: its service is started, and its commands are run.

import { assert, assertEquals } from "@std/assert";
import { COMMANDS } from "../../cli/commands.ts";
import { cli } from "../support/cli_shell.ts";

const ROOT = new URL("../..", import.meta.url);
const TEXT = Deno.readTextFileSync(new URL("docs/CLI.md", ROOT));

/** The blocks of the page that are marked so. */
function blocks(mark: string): string[] {
  return [...TEXT.matchAll(new RegExp(`^\`\`\`${mark}\\n([^]*?)^\`\`\`$`, "gm"))].map(([, text]) => text!);
}

/** The service of the page, on a port of its own. */
async function serve(): Promise<{ port: string } & AsyncDisposable> {
  const [code] = blocks("ts ignore");
  const path = await Deno.makeTempFile({ suffix: ".ts" });
  await Deno.writeTextFile(path, code!.replace("127.0.0.1:9000", "127.0.0.1:0"));
  const config = new URL("deno.json", ROOT).pathname;
  const child = new Deno.Command("deno", {
    args: ["run", "--quiet", "-N", "--config", config, path],
    stdout: "piped",
  }).spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value = "" } = await lines.read();
  const [, port] = /^Serving at tcp@127\.0\.0\.1:(\d+)\n$/.exec(value) ?? [];
  const stop = async () => {
    child.kill("SIGTERM");
    await lines.cancel();
    await child.status;
    await Deno.remove(path);
  };
  if (port === undefined) {
    await stop();
    throw new Error(`The service did not start: ${value}`);
  }
  return { port, [Symbol.asyncDispose]: stop };
}

/** Runs a line of the page: one command, or some with pipes between. */
async function runLine(line: string, port: string): Promise<string> {
  let stdin = "";
  let printed = "";
  for (const command of line.split(" | ")) {
    const words = [...command.replace(/^rpc /, "").matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => {
      return (quoted ?? bare!).replace("localhost:9000", `localhost:${port}`);
    });
    const { out, err } = await cli(words, { stdin });
    stdin = out;
    printed = out + err;
  }
  return printed.replaceAll(`localhost:${port}`, "localhost:9000");
}

/** Text without the figures that are others each time. */
function figureless(text: string): string {
  return text.replace(/\d+(\.\d+)?(e-\d+)?/g, "#").replace(/ +/g, " ").replaceAll(
    "connections",
    "connection",
  );
}

Deno.test({
  name: "docs/CLI.md: its commands print what it shows",
  async fn() {
    await using service = await serve();
    const sessions = blocks("console").flatMap((block) => block.split(/^\$ /m).slice(1));
    assert(sessions.length >= 15, "the commands are found");
    for (const session of sessions) {
      const [line = "", ...rest] = session.split("\n");
      const expected = rest.join("\n");
      const printed = await runLine(line, service.port);
      if (line.startsWith("rpc top")) {
        // Which methods are called most is another matter here.
        const sorted = (text: string) => figureless(text.trimEnd()).replaceAll(" -", " #").split("\n").sort();
        assertEquals(sorted(printed), sorted(expected), line);
      } else if (/^rpc (ping|bench|call \S+ Geo\.now)/.test(line)) {
        assertEquals(figureless(printed), figureless(expected), line);
      } else assertEquals(printed, expected, line);
    }
  },
});

Deno.test("docs/CLI.md: every command has its section, and every flag of connecting its row", () => {
  for (const { name, operands } of COMMANDS) {
    assert(TEXT.includes(`\n## ${name}\n`), name);
    const shown = operands === "bash|zsh|fish" ? "SHELL" : operands;
    assert(TEXT.includes(`| [\`${name} ${shown}\`](#${name})`), name);
  }
  for (const { flags } of COMMANDS) {
    for (const { name } of flags) assert(TEXT.includes(`--${name}`), `--${name}`);
  }
});
