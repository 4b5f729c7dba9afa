// docs/DEPLOYING.md as it is followed: the program runs with the permissions of the service's and the container's file, is
// well, is found at the registry, and ends in good order. Only ports and addresses are others.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { connect } from "../../client/connect.ts";
import { RegistryDiscovery } from "../../discovery/registry_discovery.ts";
import { Registry } from "../../registry/registry.ts";
import { Shell } from "../support/docs_shell.ts";
import { blocksOf, readText } from "../support/markdown.ts";
import { testOnPosix } from "../support/platform.ts";
import { freePort, missing } from "../support/programs.ts";
import { until } from "../support/waiting.ts";

const PAGE = readText("docs/DEPLOYING.md");

/** The one block of a kind, of those that include a text. */
function blockOf(info: string, text = ""): string {
  const found = blocksOf(PAGE).filter((block) => block.info === info && block.code.includes(text));
  assertEquals(found.length, 1, `${info} ${text}`);
  return found[0]!.code;
}

const PROGRAM = blockOf("ts ignore", "import");
const SERVICE = blockOf("ini", "[Service]");
const SOCKET = blockOf("ini", "[Socket]");

/** A folder with the program, the clone, and a registry for it. */
async function setUp() {
  const folder = await Deno.makeTempDir();
  const [rpc, health] = [freePort(), freePort()];
  const registry = new Registry();
  const web = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, registry.fetch);
  const atRegistry = `127.0.0.1:${web.addr.port}`;
  const actual = new Map([
    ["10.0.0.2:9999", atRegistry],
    ["10.0.0.7", "127.0.0.1"],
    ["9000", `${rpc}`],
    ["9001", `${health}`],
  ]);
  // In one pass: the registry's port may contain 9000 or 9001.
  const here = (text: string) =>
    text.replaceAll(/10\.0\.0\.2:9999|10\.0\.0\.7|900[01]/g, (shown) => actual.get(shown)!);
  await Deno.writeTextFile(`${folder}/main.ts`, here(PROGRAM));
  await Deno.writeTextFile(`${folder}/deno.json`, '{ "links": ["./troodon"] }');
  await Deno.symlink(new URL("../..", import.meta.url), `${folder}/troodon`);
  const shell = new Shell(folder);
  return {
    folder,
    shell,
    here,
    health: `http://127.0.0.1:${health}`,
    address: `tcp@127.0.0.1:${rpc}`,
    registry: `http://${atRegistry}`,
    async [Symbol.asyncDispose]() {
      await shell[Symbol.asyncDispose]();
      await registry.close();
      await web.shutdown();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

testOnPosix(
  "docs: the program of DEPLOYING.md is healthy, found by clients, and shuts down in order",
  async () => {
    await using at = await setUp();
    const unit = at.here(SERVICE);
    const [, command = ""] = /^ExecStart=\S+\/(deno .*)$/m.exec(unit) ?? [];
    const [, environment = ""] = /^Environment=(.*) DENO_DIR=\S+$/m.exec(unit) ?? [];
    const process = await at.shell.start(`env ${environment} ${command}`, `ready at ${at.address}\n`);
    assertEquals(await (await fetch(`${at.health}/health`)).text(), "ok\n");

    await using client = await connect(new RegistryDiscovery(at.registry, { service: "Work" }));
    const work = client.call("Work.do", "this");
    work.catch(() => {}); // it is looked at below
    await until(async () => {
      const page = await fetch(`${at.health}/debug/rpc`, { headers: { accept: "application/json" } });
      return (await page.json()).inFlight === 1;
    }, "the call to be in flight");
    process.kill("SIGTERM");
    await until(async () => {
      const response = await fetch(`${at.health}/health`);
      await response.body?.cancel();
      return response.status === 503;
    }, "the health check to fail");
    await until(async () => {
      const { servers } = await (await fetch(`${at.registry}/_rpc_/registry`)).json();
      return servers.length === 0;
    }, "the server to leave the registry");
    assertEquals(await work, "this: done");
    assertEquals((await process.status).code, 0);
  },
);

testOnPosix("docs: the program of DEPLOYING.md ends when it is drained on the registry's page", async () => {
  await using at = await setUp();
  const [, command = ""] = /^ExecStart=\S+\/(deno .*)$/m.exec(at.here(SERVICE)) ?? [];
  const environment = `HOST=127.0.0.1 REGISTRY=${at.registry}`;
  const process = await at.shell.start(`env ${environment} ${command}`, `ready at ${at.address}\n`);
  const url = `${at.registry}/_rpc_/registry?address=${at.address}&state=draining`;
  const response = await fetch(url, { method: "POST" });
  await response.body?.cancel();
  assertEquals(response.status, 200);
  assertEquals((await process.status).code, 0);
});

testOnPosix("docs: the command in the container file of DEPLOYING.md runs", async () => {
  await using at = await setUp();
  const lines = at.here(blockOf("dockerfile")).trim().split("\n");
  const found = new Map(lines.map((line) => [line.split(" ", 1)[0]!, line.slice(line.indexOf(" ") + 1)]));
  await at.shell.run(found.get("RUN")!);
  // The entry point of the image puts deno in front.
  const words = (line: string) => JSON.parse(line).map((word: string) => `"${word}"`).join(" ");
  const environment = `env HOST=127.0.0.1 REGISTRY=${at.registry}`;
  await at.shell.start(`${environment} deno ${words(found.get("CMD")!)}`, `ready at ${at.address}\n`);
  const check = words(found.get("HEALTHCHECK")!.replace("CMD ", ""));
  assertEquals(await at.shell.run(check), "");
  assertMatch(found.get("FROM")!, /:2\.9\.6$/);
});

const unverified = await missing("systemd-analyze");

Deno.test({
  name: `docs: systemd accepts the units of DEPLOYING.md${unverified}`,
  ignore: unverified !== "",
  async fn() {
    await using at = await setUp();
    // What it starts and where must be there.
    const unit = SERVICE.replace("/usr/local/bin/deno", "/bin/sh").replace("/srv/worker", at.folder);
    assert(unit.includes(at.folder));
    await Deno.writeTextFile(`${at.folder}/worker.service`, unit);
    assertEquals(await at.shell.run("systemd-analyze verify ./worker.service 2>&1"), "");
    const [, requires = ""] = /^Add `(Requires=.*)` under `\[Unit\]`/m.exec(PAGE) ?? [];
    await Deno.writeTextFile(`${at.folder}/worker.service`, unit.replace("[Unit]", `[Unit]\n${requires}`));
    await Deno.writeTextFile(`${at.folder}/worker.socket`, SOCKET);
    assertEquals(await at.shell.run("systemd-analyze verify ./worker.socket ./worker.service 2>&1"), "");
  },
});

const noActivation = await missing("systemd-socket-activate");

Deno.test({
  name: `docs: the program of DEPLOYING.md restarts on a socket of systemd, and no call fails${noActivation}`,
  ignore: noActivation !== "",
  async fn() {
    await using at = await setUp();
    const listens = /^await server\.listen\(.*?\);/m;
    const inherits = at.here(listens.exec(blockOf("ts ignore", "fd@3"))![0]);
    await Deno.writeTextFile(`${at.folder}/main.ts`, at.here(PROGRAM).replace(listens, inherits));
    const port = at.address.split(":")[1]!;
    const [, command = ""] = /^ExecStart=\S+\/(deno .*)$/m.exec(at.here(SERVICE)) ?? [];
    // At the first connection it becomes the inner shell, which holds the socket as systemd does, and runs the program twice.
    await Deno.writeTextFile(
      `${at.folder}/activate.sh`,
      `echo started
exec >log 2>&1
exec systemd-socket-activate -l 127.0.0.1:${port} -E HOST=127.0.0.1 -E REGISTRY=${at.registry} \\
  sh -c '${command}; touch restarted; exec ${command}'
`,
    );
    await at.shell.start("sh activate.sh", "started\n");
    const log = () => Deno.readTextFile(`${at.folder}/log`).catch(() => "");
    await until(async () => (await log()).includes("Listening"), "the socket to listen");
    await using client = await connect(at.address, { connectTimeout: Infinity, timeout: Infinity });
    assertEquals(await client.call("Work.do", "one"), "one: done");
    await until(async () => {
      const url = `${at.registry}/_rpc_/registry?address=${at.address}&state=draining`;
      const response = await fetch(url, { method: "POST" });
      await response.body?.cancel();
      return response.ok;
    }, "the server to be announced");
    do {
      assertEquals(await client.call("Work.do", "two"), "two: done");
    } while (!await Deno.stat(`${at.folder}/restarted`).then(() => true, () => false));
    await using late = await connect(at.address, { connectTimeout: Infinity });
    assertEquals(await late.call("Work.do", "three"), "three: done");
  },
});

Deno.test("docs: the unit of DEPLOYING.md waits for longer than the program does", () => {
  const [, grace] = /grace: ([\d_]+) \}\);\nDeno\.exit/.exec(PAGE) ?? [];
  const [, timeout] = /^TimeoutStopSec=(\d+)$/m.exec(PAGE) ?? [];
  assert(Number(timeout) * 1_000 > Number(grace!.replaceAll("_", "")));
});

const noCurl = await missing("curl");

Deno.test({
  name:
    `docs: the rolling restart of DEPLOYING.md restarts one server after the other, and waits for each${noCurl}`,
  ignore: noCurl !== "",
  async fn() {
    await using at = await setUp();
    const loop = blocksOf(PAGE).find(({ info, code }) =>
      info === "sh" && code.includes("systemctl restart")
    )!.code;
    // In the place of ssh: records the host to restart, which then announces itself.
    const address = `{\\"address\\":\\"tcp@$1:9000\\"}`;
    const announced = `curl -s -o /dev/null -d "${address}" ${at.registry}/_rpc_/registry`;
    await Deno.writeTextFile(`${at.folder}/ssh`, `#!/bin/sh\necho "$@" >> restarts\n${announced}\n`, {
      mode: 0o755,
    });
    const lines = loop.replaceAll("http://10.0.0.2:9999", at.registry);
    await at.shell.run(`PATH="$PWD:$PATH"\n${lines}`);
    const restarts = await Deno.readTextFile(`${at.folder}/restarts`);
    assertEquals(
      restarts,
      ["7", "8", "9"].map((host) => `10.0.0.${host} systemctl restart worker\n`).join(""),
    );
  },
});
