// One port, several processes: who may share it, and that each of them is called.

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { connect } from "../../client/mod.ts";
import { Server } from "../../server/mod.ts";
import { testOnLinux, testOnPosix } from "../support/platform.ts";
import { pem } from "../support/certs.ts";
import { until } from "../support/waiting.ts";

const ROOT = new URL("../..", import.meta.url);

/** A server with TLS, whose listener needs no flag. */
function tlsServer(name: string): Server {
  const server = new Server({ tls: { cert: pem("server.pem"), key: pem("server.key") } });
  return server.register("Who", { name: () => name });
}

testOnLinux("reusePort: two servers share a port over TLS, if both ask for it", async () => {
  await using one = tlsServer("one");
  await using two = tlsServer("two");
  await using three = tlsServer("three");
  const { address } = await one.listen("tls@127.0.0.1:0", { reusePort: true });
  await two.listen(address, { reusePort: true });
  await assertRejects(() => three.listen(address), Error, `Cannot listen on ${address}`);

  const caCerts = [pem("ca.pem")];
  const names = new Set<string>();
  // Each connection goes to either with the same chance: all of 64 to one of them happens once in 2^63.
  for (let i = 0; i < 64; i++) {
    await using client = await connect(address, { tls: { caCerts } });
    names.add(await client.call<string>("Who.name"));
  }
  assertEquals([...names].sort(), ["one", "two"]);
});

testOnLinux("reusePort: one client with several connections calls all servers of a port", async () => {
  await using one = tlsServer("one");
  await using two = tlsServer("two");
  const { address } = await one.listen("tls@127.0.0.1:0", { reusePort: true });
  await two.listen(address, { reusePort: true });

  const tls = { caCerts: [pem("ca.pem")] };
  // All of 48 go to the same one once in 2^47.
  await using client = await connect(address, { tls, connections: 48 });
  await until(() => client.stats().endpoints[0]!.connections === 48, "48 connections");
  assertEquals(one.stats().connections + two.stats().connections, 48);
  for (let n = 0; n < 48; n++) await client.call("Who.name");
  // Each connection has carried one call.
  const calls = [one, two].map((server) => server.stats().methods[0]!.calls);
  assertEquals(calls, [one, two].map((server) => server.stats().connections));
  assert(Math.min(...calls) > 0, String(calls));

  await two.close();
  for (let n = 0; n < 96; n++) assertEquals(await client.call("Who.name", null, { idempotent: true }), "one");
  await until(() => one.stats().connections === 48, "48 connections to the one that is left");
});

testOnPosix("reusePort: an address that cannot be shared is refused with the reason", async () => {
  await using server = new Server();
  await assertRejects(
    () => server.listen("unix@/tmp/none.sock", { reusePort: true }),
    TypeError,
    "Cannot listen on unix@/tmp/none.sock: only ports can be shared, and on Linux alone (reusePort)",
  );
});

testOnLinux("reusePort: without --unstable-net the error says what to do", async () => {
  await using server = new Server();
  for (const address of ["tcp@127.0.0.1:0", "http@127.0.0.1:0"]) {
    const error = await assertRejects(() => server.listen(address, { reusePort: true }), TypeError);
    assertEquals(
      error.message,
      `Cannot listen on ${address}: reusePort requires Deno to run with --unstable-net`,
    );
  }
});

testOnLinux(
  "reusePort: the example serves one port with two processes over TCP, and stops in good order",
  async () => {
    const parent = new Deno.Command("deno", {
      args: ["run", "-P=cores", "examples/cores.ts", "--processes", "2"],
      cwd: ROOT,
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const reader = parent.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const line = (await reader.read()).value ?? "";
    assertMatch(line, /^2 processes at tcp@127\.0\.0\.1:\d+\n$/);
    const address = line.trim().split(" ").at(-1)!;
    const names = new Set<string>();
    for (let i = 0; i < 64; i++) {
      await using client = await connect(address);
      names.add(await client.call<string>("Worker.whoAmI"));
      assertEquals(await client.call("Worker.work", 5), 10);
    }
    assertEquals(names.size, 2);
    await using client = await connect(address, { connections: 48 });
    await until(() => client.stats().endpoints[0]!.connections === 48, "48 connections");
    const answers = await Promise.all(
      Array.from({ length: 480 }, () => client.call<string>("Worker.whoAmI")),
    );
    assertEquals(new Set(answers), names);
    parent.kill("SIGTERM");
    assertEquals((await parent.status).code, 0);
    await reader.cancel();
    await assertRejects(() => connect(address));
  },
);
