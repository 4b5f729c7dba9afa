// What Prometheus's own tool says to the metrics and to docs/MONITORING.md.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { busy, clientOf, metricsOf } from "../support/metrics_reader.ts";
import { missing } from "../support/programs.ts";

const PROMTOOL = "promtool";

const skipped = await missing(PROMTOOL);
const ROOT = new URL("../..", import.meta.url);

Deno.test({
  name: `metrics: promtool accepts them without a complaint${skipped}`,
  ignore: skipped !== "",
  async fn() {
    await using at = await busy();
    await using _of = await clientOf(at.server);
    const text = await (await at.server.fetch(new Request("http://x/metrics"))).text();
    assertEquals(await promtool(["check", "metrics"], text), [0, ""]);
    const [code] = await promtool(["check", "metrics"], text.replace("_total counter", "_total thing"));
    assert(code !== 0, "it does look");
  },
});

Deno.test({
  name: `docs: promtool accepts the configuration and rules in docs/MONITORING.md${skipped}`,
  ignore: skipped !== "",
  async fn() {
    const text = await Deno.readTextFile(new URL("docs/MONITORING.md", ROOT));
    const [config = "", rules = ""] = Array.from(text.matchAll(/```yaml\n([^]*?)```/g), ([, yaml]) => yaml);
    for (
      const [what, yaml, answer] of [["config", config, /SUCCESS/], [
        "rules",
        rules,
        /SUCCESS: 7 rules/,
      ]] as const
    ) {
      const file = await Deno.makeTempFile();
      try {
        await Deno.writeTextFile(file, yaml);
        const [code, said] = await promtool(["check", what, file]);
        assertMatch(said, answer);
        assertEquals(code, 0, said);
      } finally {
        await Deno.remove(file);
      }
    }
    // Names in expressions are of metrics that there are.
    await using at = await busy();
    await using _of = await clientOf(at.server);
    const known = [...(await metricsOf(at.server)).keys()];
    const named = new Set(text.match(/\brpc_(server|client)_[a-z_]+/g));
    assertEquals(
      [...named].map((name) => name.replace(/_bucket$/, "")).filter((name) => !known.includes(name)),
      [],
    );
  },
});

/** Runs it: its exit code, and all that it says. */
async function promtool(args: string[], input = ""): Promise<[code: number, said: string]> {
  const tool = new Deno.Command(PROMTOOL, { args, stdin: "piped", stdout: "piped", stderr: "piped" }).spawn();
  const writer = tool.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input));
  await writer.close();
  const { code, stdout, stderr } = await tool.output();
  return [code, new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr)];
}
