// DnsDiscovery over Deno's resolver, against a DNS server whose answers are scripted.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { DnsDiscovery, type DnsDiscoveryOptions } from "../../discovery/dns_discovery.ts";
import { RpcError } from "../../call/error.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { DnsServer } from "../support/dns_server.ts";

function discover(dns: DnsServer, options: Partial<DnsDiscoveryOptions> = {}): DnsDiscovery {
  const nameServer = { ipAddr: "127.0.0.1", port: dns.port };
  return new DnsDiscovery("api.example.", { port: 9000, nameServer, ...options });
}

/** `count` addresses, each different. */
function addresses(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `10.1.${i >> 8}.${i & 255}`);
}

Deno.test("DNS: the addresses that a DNS server answers", async () => {
  await using dns = await DnsServer.start();
  dns.answer = ["10.0.0.2", "10.0.0.1", "10.0.0.1"];
  assertEquals(await discover(dns).endpoints(), [
    { address: "tcp@10.0.0.1:9000" },
    { address: "tcp@10.0.0.2:9000" },
  ]);
});

Deno.test("DNS: an answer that is truncated over UDP is asked for over TCP", async () => {
  await using dns = await DnsServer.start();
  dns.answer = addresses(100);
  assertEquals((await discover(dns).endpoints()).length, 100);
  assert(dns.queries.tcp > 0, "it asked over UDP only");
});

Deno.test("DNS: an enormous answer, of 4 000 addresses, is taken whole", async () => {
  await using dns = await DnsServer.start();
  dns.answer = addresses(4_000);
  assertEquals((await discover(dns).endpoints()).length, 4_000);
});

Deno.test("DNS: with nameServer, NXDOMAIN and SERVFAIL both hold the last list for holdTime", async () => {
  await using dns = await DnsServer.start();
  for (const failure of ["NXDOMAIN", "SERVFAIL"] as const) {
    const clock = new FakeClock();
    const discovery = discover(dns, { clock, holdTime: 60_000, refreshInterval: 1_000 });
    dns.answer = failure;
    await assertRejects(() => discovery.endpoints(), RpcError, "There are no records");
    dns.answer = ["10.0.0.1"];
    assertEquals((await discovery.endpoints()).length, 1);
    dns.answer = failure;
    await clock.advance(30_000);
    assertEquals((await discovery.endpoints()).length, 1);
  }
});

Deno.test("DNS: without nameServer, the resolver of the system is used", async () => {
  const list = await new DnsDiscovery("localhost", { port: 9000 }).endpoints();
  assert(list.some(({ address }) => address === "tcp@127.0.0.1:9000" || address === "tcp@[::1]:9000"));
});

Deno.test("DNS: without the permission for a name, the error says which flag grants it", async () => {
  const discovery = new DnsDiscovery("not-permitted.invalid", { port: 9000 });
  await assertRejects(() => discovery.endpoints(), RpcError, "--allow-net=not-permitted.invalid");
});

Deno.test("DNS: a server that does not answer fails the lookup after timeout", async () => {
  await using dns = await DnsServer.start();
  dns.answer = "silence";
  await assertRejects(
    () => discover(dns, { timeout: 200 }).endpoints(),
    RpcError,
    "no answer within 200 ms",
  );
});
