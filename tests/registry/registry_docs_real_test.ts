// The examples with curl in docs/REGISTRY.md, run one after the other against one registry, and held against the
// answers below them.

import { assertEquals, assertMatch } from "@std/assert";
import { Registry } from "../../registry/registry.ts";
import { missing } from "../support/programs.ts";

const skipped = await missing("curl");

/** Blocks with one curl and the block of text after each. */
const EXAMPLE = /```sh\n(curl [^\n]+)\n```\n\n```text\n([^`]+)```/g;

/** The words of a command, without what a shell would do to them but for single quotes. */
function wordsOf(command: string): string[] {
  return Array.from(command.matchAll(/'([^']*)'|([^\s']+)/g), ([, quoted, plain]) => quoted ?? plain!);
}

/** What is written, with … for anything. */
function patternOf(text: string): RegExp {
  const parts = text.trim().split("…").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join("[^]*?")}$`);
}

Deno.test({
  name: `docs: the registry answers curl as docs/REGISTRY.md says${skipped}`,
  ignore: skipped !== "",
  async fn() {
    const text = await Deno.readTextFile(new URL("../../docs/REGISTRY.md", import.meta.url));
    await using registry = new Registry();
    await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
    const examples = [...text.matchAll(EXAMPLE)];
    assertEquals(examples.length, 10);
    for (const [, command = "", expected = ""] of examples) {
      const [program, ...args] = wordsOf(command.replace("127.0.0.1:9999", `127.0.0.1:${server.addr.port}`));
      const { stdout } = await new Deno.Command(program!, { args, stderr: "null" }).output();
      const answer = new TextDecoder().decode(stdout).replaceAll("\r\n", "\n").trim();
      assertMatch(answer, patternOf(expected), command);
    }
  },
});
