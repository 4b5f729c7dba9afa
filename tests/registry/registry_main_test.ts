// The registry as a program: a process of its own, its flags, its output and its end.

import { assertEquals, assertMatch } from "@std/assert";
import { command, readLine } from "../support/registry_process.ts";
import { testOnPosix } from "../support/platform.ts";

/** Runs it to its end. */
async function run(...args: string[]): Promise<{ code: number; out: string; lines: string[] }> {
  const { code, stdout, stderr } = await command(args).output();
  const decoder = new TextDecoder();
  const lines = decoder.decode(stderr).split("\n").filter((line) => line.startsWith("registry:"));
  return { code, out: decoder.decode(stdout), lines };
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  testOnPosix(
    `registry program: says where it listens, serves, and ends with code 0 on ${signal}`,
    async () => {
      await using process = command(["--port", "0", "--ttl", "5000"]).spawn();
      const stderr = process.stderr.cancel();
      const reader = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
      const line = await readLine(reader);
      assertMatch(
        line,
        /^registry: listening on http:\/\/127\.0\.0\.1:\d+\/_rpc_\/registry \(leases of 5000 ms\)\n$/,
      );
      const url = line.split(" ")[3]!;
      const posted = await fetch(url, { method: "POST", headers: { "X-Rpc-Server": "tcp@127.0.0.1:1" } });
      assertEquals([posted.status, (await posted.json()).ttl], [201, 5_000]);
      const list = await fetch(url);
      assertEquals(list.headers.get("X-Rpc-Servers"), "tcp@127.0.0.1:1");
      await list.body?.cancel();
      // Someone who is in the middle of something does not keep it from ending.
      const stalled = await Deno.connect({ hostname: "127.0.0.1", port: Number(new URL(url).port) });
      await stalled.write(
        new TextEncoder().encode("POST /_rpc_/registry HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{"),
      );
      process.kill(signal);
      assertEquals((await process.status).code, 0);
      assertEquals(await reader.read(), { done: true, value: undefined });
      stalled.close();
      await stderr;
    },
  );
}

testOnPosix("registry program: takes its token from the environment, and requires it", async () => {
  await using process = command(["--port=0", "--protect-reads"], { REGISTRY_TOKEN: "secret  next" }).spawn();
  const stderr = process.stderr.cancel();
  const reader = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const url = (await readLine(reader)).split(" ")[3]!;
  const ask = async (init: RequestInit) => {
    const response = await fetch(url, init);
    await response.body?.cancel();
    return response.status;
  };
  const headers = { authorization: "Bearer secret" };
  assertEquals([await ask({}), await ask({ headers })], [401, 200]);
  assertEquals(await ask({ headers: { authorization: "Bearer next" } }), 200);
  process.kill("SIGTERM");
  assertEquals((await process.status).code, 0);
  await reader.cancel();
  await stderr;
});

for (const host of ["::1", "[::1]"]) {
  testOnPosix(
    `registry program: --host ${host} listens, and is printed with one pair of brackets`,
    async () => {
      await using process = command(["--port", "0", "--host", host]).spawn();
      const stderr = process.stderr.cancel();
      const reader = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
      assertMatch(await readLine(reader), /^registry: listening on http:\/\/\[::1\]:\d+\//);
      process.kill("SIGTERM");
      await Promise.all([process.status, reader.cancel(), stderr]);
    },
  );
}

Deno.test("registry program: invalid flags are one line and code 2", async () => {
  const bad: [string[], string][] = [
    [["--prot", "1"], "registry: unknown argument --prot; see --help"],
    [["x"], "registry: unknown argument x; see --help"],
    [
      ["--port", "70000"],
      'registry: --port: expected a whole number from 0 to 65535, got "70000"; see --help',
    ],
    [["--port"], 'registry: --port: expected a whole number from 0 to 65535, got ""; see --help'],
    [
      ["--ttl=-1"],
      'registry: --ttl: expected a whole number from 0 to 3600000, got "-1"; see --help',
    ],
    [["--host="], "registry: --host: expected an address to listen on; see --help"],
    [["--store", "x"], 'registry: --store: expected memory or etcd@http://HOST:PORT, got "x"; see --help'],
    [
      ["--store=etcd@127.0.0.1"],
      'registry: --store: expected URLs such as etcd@http://127.0.0.1:2379, got "etcd@127.0.0.1"; see --help',
    ],
    [
      ["--protect-reads"],
      "registry: --protect-reads needs the environment variable REGISTRY_TOKEN; see --help",
    ],
  ];
  const results = await Promise.all(bad.map(([args]) => run(...args)));
  for (const [i, { code, out, lines }] of results.entries()) {
    assertEquals([code, out, lines], [2, "", [bad[i]![1]]]);
  }
});

Deno.test("registry program: --help explains, and ends with code 0", async () => {
  const { code, out } = await run("--help");
  assertEquals(code, 0);
  for (const flag of ["--port", "--host", "--ttl", "--store", "--protect-reads"]) {
    assertMatch(out, new RegExp(`^ +${flag} `, "m"));
  }
});

Deno.test("registry program: a port in use is one line and code 1", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { code, lines } = await run("--port", String(taken.addr.port));
  const reason =
    `cannot listen on 127.0.0.1:${taken.addr.port}: the port is in use; choose another with --port`;
  assertEquals([code, lines], [1, [`registry: ${reason}`]]);
});

testOnPosix("registry program: it warns when any client that can reach it may change the list", async () => {
  const WARNING = "any client that can reach it may change the list";
  const cases: [string, Record<string, string>, boolean][] = [
    ["127.0.0.1", {}, false],
    ["localhost", {}, false],
    ["0.0.0.0", {}, true],
    ["0.0.0.0", { REGISTRY_TOKEN: "secret" }, false],
  ];
  for (const [host, env, warns] of cases) {
    await using process = command(["--port", "0", "--host", host], env).spawn();
    const stderr = new Response(process.stderr).text();
    const reader = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
    await readLine(reader);
    process.kill("SIGTERM");
    await reader.cancel();
    assertEquals((await stderr).includes(WARNING), warns, host);
    await process.status;
  }
});
