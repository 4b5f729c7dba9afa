// announce() with a server in the place of an address and a list of services.

import { assertEquals, assertRejects } from "@std/assert";
import { announce, Registry, RegistryDiscovery, Server } from "../../mod.ts";
import { ownAddress } from "../../registry/own_address.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { RegistryLink } from "../support/registry_link.ts";

const URL_OF_LINK = "http://registry.test";

async function open() {
  const link = new RegistryLink(new Registry({ clock: new FakeClock() }));
  const server = new Server().register("Arith", { sum: () => 3 }).register("Greeter", { greet: () => "Hi" });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  return {
    link,
    server,
    address,
    listed: async () => await new RegistryDiscovery(URL_OF_LINK, { fetch: link.fetch }).endpoints(),
    async [Symbol.asyncDispose]() {
      await server.close();
      await link.registry!.close();
    },
  };
}

Deno.test("announce: a server says its services and its address", async () => {
  await using at = await open();
  await using registration = await announce(URL_OF_LINK, { server: at.server, weight: 2 }, {
    fetch: at.link.fetch,
  });
  assertEquals(registration.address, at.address);
  assertEquals(await at.listed(), [{ address: at.address, services: ["Arith", "Greeter"], weight: 2 }]);
});

Deno.test("announce: services and an address that are given count more than the server's", async () => {
  await using at = await open();
  const instance = { server: at.server, address: "tcp@10.0.0.7:9000", services: ["Arith"] };
  await using _registration = await announce(URL_OF_LINK, instance, { fetch: at.link.fetch });
  assertEquals(await at.listed(), [{ address: "tcp@10.0.0.7:9000", services: ["Arith"] }]);
});

Deno.test("announce: the services of a server that is given with an address", async () => {
  await using at = await open();
  const instance = { server: at.server, address: "tcp@10.0.0.7:9000" };
  await using _registration = await announce(URL_OF_LINK, instance, { fetch: at.link.fetch });
  assertEquals(await at.listed(), [{ address: "tcp@10.0.0.7:9000", services: ["Arith", "Greeter"] }]);
});

Deno.test("announce: 0.0.0.0 becomes the address from which the registry is reached", async () => {
  await using registry = new Registry();
  await using http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
  await using server = new Server().register("S", { ok: () => {} });
  const { address } = await server.listen("http@127.0.0.1:0/rpc");
  const port = address.slice(0, -4).split(":")[1];
  const own = await ownAddress({
    addresses: ["unix@/run/app.sock", `http@0.0.0.0:${port}/rpc`],
    registries: [new URL(`http://127.0.0.1:${http.addr.port}`)],
    timeout: 2_000,
    clock: new FakeClock(),
    random: () => 0,
    signal: undefined,
  });
  assertEquals(own, `http@127.0.0.1:${port}/rpc`);
});

Deno.test("announce: waiting for a registry that is away ends with the signal", async () => {
  const stop = new AbortController();
  const own = ownAddress({
    addresses: ["tcp@0.0.0.0:9000"],
    registries: [new URL("http://127.0.0.1:1")],
    timeout: 2_000,
    clock: new FakeClock(),
    random: () => 0,
    signal: stop.signal,
  });
  stop.abort(new Error("no longer wanted"));
  await assertRejects(() => own, Error, "no longer wanted");
});

Deno.test("announce: 0.0.0.0 becomes what POD_IP says, else HOST, as far as the program may read them", async () => {
  const script = `
    import { ownAddress } from "./registry/own_address.ts";
    import { SYSTEM_CLOCK as clock } from "./discovery/clock.ts";
    const options = { registries: [], timeout: 1, clock, random: Math.random, signal: AbortSignal.abort("no route") };
    try {
      console.log(await ownAddress({ addresses: ["tcp@[::]:9000"], ...options }));
    } catch (error) {
      console.log(error.message ?? error);
    }`;
  const env = "--allow-env=POD_IP,HOST";
  for (
    const [variables, permissions, expected] of [
      [{ POD_IP: "10.1.2.3", HOST: "box" }, [env], "tcp@10.1.2.3:9000"],
      [{ POD_IP: "fd00::7" }, [env], "tcp@[fd00::7]:9000"],
      [{ POD_IP: "", HOST: "box.internal" }, [env], "tcp@box.internal:9000"],
      // HOST often says where to listen.
      [{ HOST: "0.0.0.0" }, [env], "no route"],
      [{ POD_IP: "10.1.2.3" }, [], "no route"],
      [{ POD_IP: "10.1.2.3", HOST: "box" }, ["--allow-env=HOST"], "tcp@box:9000"],
    ] as const
  ) {
    const command = new Deno.Command("deno", {
      args: ["run", "--quiet", "--no-prompt", ...permissions, "-"],
      env: { POD_IP: "", HOST: "", ...variables },
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
      cwd: new URL("../..", import.meta.url),
    }).spawn();
    const writer = command.stdin.getWriter();
    await writer.write(new TextEncoder().encode(script));
    await writer.close();
    const { stdout } = await command.output();
    assertEquals(new TextDecoder().decode(stdout).trim(), expected);
  }
});

Deno.test("announce: a server that has no services yet, or does not listen, is refused", async () => {
  const announced = (server: Server) => announce(URL_OF_LINK, { server });
  await using empty = new Server();
  await assertRejects(() => announced(empty), TypeError, "it has no services yet");
  await using silent = new Server().register("S", { ok: () => {} });
  await assertRejects(() => announced(silent), TypeError, "it does not listen yet");
  await assertRejects(() => announce(URL_OF_LINK, {}), TypeError, "address");
  await assertRejects(() => announce(URL_OF_LINK, { address: "tcp@0.0.0.0:1" }), TypeError, "{ server }");
});
