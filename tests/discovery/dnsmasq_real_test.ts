// Clients that find servers through a real DNS server, dnsmasq, which a test starts on a port of its own.

import { assert, assertEquals } from "@std/assert";
import { connect, RpcError, Server } from "../../mod.ts";
import { DnsDiscovery, SrvDiscovery } from "../../discovery/mod.ts";
import { freePort, missing } from "../support/programs.ts";
import { until } from "../support/waiting.ts";

const SKIPPED = await missing("dnsmasq");
const NAME = "rpc.test";

/** A dnsmasq that knows what its hosts file says. */
class Dnsmasq implements AsyncDisposable {
  readonly nameServer = { ipAddr: "127.0.0.1", port: freePort() };
  readonly #folder = Deno.makeTempDirSync({ prefix: "dnsmasq-" });
  #process: Deno.ChildProcess | undefined;

  static async start(ips: readonly string[], ...flags: string[]): Promise<Dnsmasq> {
    const dns = new Dnsmasq();
    dns.#write(ips);
    dns.#process = new Deno.Command("dnsmasq", {
      args: [
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--user=root",
        `--pid-file=${dns.#folder}/pid`,
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
        `--port=${dns.nameServer.port}`,
        `--addn-hosts=${dns.#folder}/hosts`,
        "--local=/test/",
        ...flags,
      ],
      stdout: "null",
      stderr: "null",
    }).spawn();
    const { port } = dns.nameServer;
    // It listens over TCP as soon as over UDP.
    const listens = () =>
      Deno.connect({ hostname: "127.0.0.1", port }).then((conn) => (conn.close(), true), () => false);
    await until(listens, "dnsmasq to listen");
    return dns;
  }

  /** Changes the addresses of the name. */
  change(ips: readonly string[]): void {
    this.#write(ips);
    this.#process?.kill("SIGHUP");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process?.kill("SIGTERM");
    await this.#process?.status;
    await Deno.remove(this.#folder, { recursive: true });
  }

  #write(ips: readonly string[]): void {
    Deno.writeTextFileSync(`${this.#folder}/hosts`, ips.map((ip) => `${ip} ${NAME}\n`).join(""));
  }
}

/** A server on `ip`, which counts its calls. */
async function serve(ip: string, port: number) {
  const counted = { calls: 0 };
  const server = new Server().register("S", { ok: () => void counted.calls++ });
  await server.listen(`tcp@${ip}:${port}`);
  return Object.assign(server, { counted });
}

Deno.test(`dnsmasq: a new address gets its share, and calls outlive a server that is closed${SKIPPED}`, {
  ignore: SKIPPED !== "",
}, async () => {
  await using dns = await Dnsmasq.start(["127.0.0.1"]);
  const port = freePort();
  await using first = await serve("127.0.0.1", port);
  await using second = await serve("127.0.0.2", port);
  const discovery = new DnsDiscovery(NAME, { port, nameServer: dns.nameServer, refreshInterval: 1_000 });
  await using client = await connect(discovery, { balancer: "round_robin" });
  for (let n = 0; n < 10; n++) await client.call("S.ok");
  assertEquals([first.counted.calls, second.counted.calls], [10, 0]);

  dns.change(["127.0.0.1", "127.0.0.2"]);
  await until(() => client.stats().endpoints.length === 2, "the new address");
  await until(
    async () => (await client.call("S.ok"), second.counted.calls > 0),
    "the new server to be called",
  );
  const before = [first.counted.calls, second.counted.calls];
  for (let n = 0; n < 100; n++) await client.call("S.ok");
  assertEquals([first.counted.calls - before[0]!, second.counted.calls - before[1]!], [50, 50]);

  // It ends without a GoAway, and DNS still has its address.
  await first.close();
  for (let n = 0; n < 100; n++) await client.call("S.ok", null, { idempotent: true });
  dns.change(["127.0.0.2"]);
  await until(() => client.stats().endpoints.length === 1, "the old address to leave the list");
});

Deno.test(`dnsmasq: an unknown name is unavailable, and the error names it${SKIPPED}`, {
  ignore: SKIPPED !== "",
}, async () => {
  await using dns = await Dnsmasq.start(["127.0.0.1"]);
  const discovery = new DnsDiscovery("other.test", { port: 1, nameServer: dns.nameServer });
  const error = await connect(discovery, { connectTimeout: 300 }).catch((error) => error);
  assert(error instanceof RpcError && error.code === "unavailable");
  assert(error.message.includes("other.test"), error.message);
});

Deno.test(`dnsmasq: SRV records give hosts, ports, priorities and weights${SKIPPED}`, {
  ignore: SKIPPED !== "",
}, async () => {
  await using dns = await Dnsmasq.start(
    ["127.0.0.1"],
    "--srv-host=_rpc._tcp.test,a.test,9001,10,60",
    "--srv-host=_rpc._tcp.test,b.test,9002,10,20",
    "--srv-host=_rpc._tcp.test,c.test,9003,20,5",
  );
  const discovery = new SrvDiscovery("_rpc._tcp.test", { nameServer: dns.nameServer });
  assertEquals(await discovery.endpoints(), [
    { address: "tcp@a.test:9001", weight: 60 },
    { address: "tcp@b.test:9002", weight: 20 },
    { address: "tcp@c.test:9003", weight: 0 },
  ]);
});
