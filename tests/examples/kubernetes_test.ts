// examples/kubernetes: the manifests fit the program, and the pages that show parts of them.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { connect } from "../../mod.ts";
import { blocksOf, readText } from "../support/markdown.ts";
import { freePort } from "../support/programs.ts";
import { until } from "../support/waiting.ts";

const YAML = readText("examples/kubernetes/work.yaml");
const PROGRAM = readText("examples/kubernetes/main.ts");

/** The values of a key, wherever it is. */
function valuesOf(key: string): string[] {
  return Array.from(YAML.matchAll(new RegExp(`^[ -]*${key}: (.+)$`, "gm")), ([, value]) => value!);
}

const ARGS: readonly string[] = JSON.parse(valuesOf("args")[0]!);

Deno.test("kubernetes: the manifests agree with each other and with the program", () => {
  const [rpcPort, probePort] = ARGS.slice(-2);
  assertEquals(valuesOf("containerPort"), [rpcPort, probePort]);
  assertEquals({ clusterIP: valuesOf("clusterIP"), service: valuesOf("port")[0] }, {
    clusterIP: ["None"],
    service: rpcPort,
  });
  // Probes name ports of the container.
  const named = new Set(valuesOf("name"));
  for (const port of valuesOf("port").slice(1)) assert(named.has(port), port);
  assertEquals(new Set(valuesOf("app")), new Set(["work"]));
  const [, grace] = /grace: ([\d_]+)/.exec(PROGRAM)!;
  const seconds = Number(grace!.replaceAll("_", "")) / 1_000;
  assert(Number(valuesOf("terminationGracePeriodSeconds")[0]) > seconds);
  assertStringIncludes(YAML, `the grace of the shutdown, ${seconds} s`);
  assertStringIncludes(PROGRAM, `"${valuesOf("path")[0]}"`);
});

Deno.test("KUBERNETES.md: what it shows of the manifests is in them", () => {
  const lines = new Set(YAML.split("\n").map((line) => line.trim()));
  const blocks = blocksOf(readText("docs/KUBERNETES.md")).filter(({ info }) => info === "yaml");
  assertEquals(blocks.length, 4);
  for (const { code } of blocks.slice(0, 2)) {
    for (const line of code.trim().split("\n")) assert(lines.has(line.trim()), line);
  }
});

Deno.test("kubernetes: the program is ready, drains on SIGTERM and ends", async () => {
  const [port, probePort] = [freePort(), freePort()];
  // The arguments of the manifest, but for the ports.
  const args = [...ARGS.slice(0, -2), `${port}`, `${probePort}`];
  const process = new Deno.Command("deno", {
    args,
    cwd: new URL("../../examples/kubernetes", import.meta.url),
    stdout: "null",
  }).spawn();
  const ready = () =>
    fetch(`http://127.0.0.1:${probePort}/ready`).then(
      async (response) => (await response.text(), response.status),
      () => 0,
    );
  await until(async () => await ready() === 200, "the program to be ready");
  await using client = await connect(`tcp@127.0.0.1:${port}`);
  const call = client.call("Work.do", "this");
  await until(async () => {
    const stats = await fetch(`http://127.0.0.1:${probePort}/debug/rpc`, {
      headers: { accept: "application/json" },
    });
    return (await stats.json()).inFlight === 1;
  }, "the call to be accepted");
  process.kill("SIGTERM");
  await until(async () => await ready() !== 200, "the program to drain");
  assertEquals(await call, "this: done");
  assertEquals((await process.status).code, 0);
});
