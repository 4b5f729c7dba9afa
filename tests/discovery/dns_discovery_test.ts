// DnsDiscovery and SrvDiscovery against a scripted resolver on a simulated clock, and PolledList against the contract of
// every discovery.

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { DnsDiscovery, type DnsDiscoveryOptions } from "../../discovery/dns_discovery.ts";
import type { SrvRecord } from "../../discovery/dns_resolver.ts";
import type { Endpoint } from "../../discovery/endpoint.ts";
import { PolledList } from "../../discovery/polled_list.ts";
import { SrvDiscovery } from "../../discovery/srv_discovery.ts";
import { testDiscovery } from "../support/contracts/discovery.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";

type Answer = string[] | Error | "never";

/** A resolver whose answers a test sets. */
class Script {
  a: Answer = [];
  aaaa: Answer = [];
  srv: SrvRecord[] | Error = [];
  lookups = 0;

  addresses(_name: string, type: "A" | "AAAA"): Promise<string[]> {
    if (type === "A") this.lookups++;
    const answer = type === "A" ? this.a : this.aaaa;
    if (answer === "never") return new Promise(() => {});
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve([...answer]);
  }

  services(): Promise<SrvRecord[]> {
    return this.srv instanceof Error ? Promise.reject(this.srv) : Promise.resolve([...this.srv]);
  }
}

function open(options: Partial<DnsDiscoveryOptions> = {}) {
  const clock = new FakeClock();
  const dns = new Script();
  dns.a = ["10.0.0.1"];
  const discovery = new DnsDiscovery("api.example", {
    port: 9000,
    resolver: dns,
    clock,
    random: () => 0.5,
    ...options,
  });
  return { clock, dns, discovery };
}

/** Watches, and keeps every list. */
function follow(discovery: DnsDiscovery | SrvDiscovery) {
  const lists: string[][] = [];
  const stop = new AbortController();
  const ended = (async () => {
    for await (const list of discovery.watch({ signal: stop.signal })) {
      lists.push(list.map(({ address }) => address));
    }
  })();
  return {
    lists,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await ended;
    },
  };
}

testDiscovery("PolledList", async (first) => {
  const clock = new FakeClock();
  let endpoints: Endpoint[] = first;
  const discovery = new PolledList({
    what: "the list",
    lookUp: () => Promise.resolve(endpoints.map((endpoint) => ({ ...endpoint }))),
    refreshInterval: 30_000,
    holdTime: 0,
    clock,
    random: () => 0.5,
  });
  await discovery.endpoints();
  return {
    discovery,
    async change(list) {
      endpoints = list;
      // Unwatched lists are looked up when they are asked for.
      await clock.advance(30_001);
      await discovery.endpoints();
    },
    isIdle: () => clock.timers === 0,
  };
});

Deno.test("DnsDiscovery: A and AAAA records are one sorted list, whatever their order", async () => {
  const { clock, dns, discovery } = open();
  dns.a = ["10.0.0.2", "10.0.0.1"];
  dns.aaaa = ["fd00::1"];
  await using seen = follow(discovery);
  await settle();
  dns.a = ["10.0.0.1", "10.0.0.2"];
  await clock.advance(60_000);
  assertEquals(dns.lookups, 3);
  assertEquals(seen.lists, [["tcp@10.0.0.1:9000", "tcp@10.0.0.2:9000", "tcp@[fd00::1]:9000"]]);
});

Deno.test("DnsDiscovery: one family without an answer is no error", async () => {
  for (const missing of [new Error("SERVFAIL"), []]) {
    const { dns, discovery } = open();
    dns.aaaa = missing;
    assertEquals((await discovery.endpoints()).length, 1);
    assertEquals(discovery.failure, undefined);
  }
});

Deno.test("DnsDiscovery: a changed list is published at the next refresh", async () => {
  const { clock, dns, discovery } = open({ refreshInterval: 1_000 });
  await using seen = follow(discovery);
  await settle();
  dns.a = ["10.0.0.1", "10.0.0.9"];
  await clock.advance(1_000);
  assertEquals(seen.lists.at(-1), ["tcp@10.0.0.1:9000", "tcp@10.0.0.9:9000"]);
});

Deno.test("DnsDiscovery: failures keep the last list, and lookups back off from 1 s to 5 minutes", async () => {
  const { clock, dns, discovery } = open();
  await using seen = follow(discovery);
  await settle();
  dns.a = dns.aaaa = new Error("SERVFAIL");
  await clock.advance(30_000);
  assertEquals(discovery.failure?.message, "Cannot look up the addresses of api.example: SERVFAIL");
  const times: number[] = [];
  for (let before = dns.lookups; times.length < 11;) {
    await clock.advance(1_000);
    if (dns.lookups > before) times.push(clock.now() - 30_000);
    before = dns.lookups;
  }
  assertEquals(times, [1, 3, 7, 15, 31, 63, 127, 255, 511, 811, 1_111].map((s) => s * 1_000));
  assertEquals(seen.lists, [["tcp@10.0.0.1:9000"]]);
  dns.a = ["10.0.0.3"];
  await clock.advance(300_000);
  assertEquals([seen.lists.at(-1), discovery.failure], [["tcp@10.0.0.3:9000"], undefined]);
});

Deno.test("DnsDiscovery: an empty answer is believed after holdTime", async () => {
  const { clock, dns, discovery } = open({ refreshInterval: 1_000, holdTime: 10_000 });
  await using seen = follow(discovery);
  await settle();
  dns.a = [];
  await clock.advance(10_999);
  assertEquals(seen.lists, [["tcp@10.0.0.1:9000"]]);
  await clock.advance(1);
  assertEquals(seen.lists.at(-1), []);
});

Deno.test("DnsDiscovery: an empty answer that does not last changes nothing", async () => {
  const { clock, dns, discovery } = open({ refreshInterval: 1_000 });
  await using seen = follow(discovery);
  await settle();
  for (let i = 0; i < 10; i++) {
    dns.a = [];
    await clock.advance(5_000);
    dns.a = ["10.0.0.1"];
    await clock.advance(1_000);
  }
  assertEquals(seen.lists, [["tcp@10.0.0.1:9000"]]);
});

Deno.test("DnsDiscovery: a lost connection brings the next lookup forward, at most every 5 s", async () => {
  const { clock, dns, discovery } = open();
  await using _seen = follow(discovery);
  await settle();
  await clock.advance(2_000);
  for (let i = 0; i < 100; i++) discovery.refresh();
  await clock.advance(2_999);
  assertEquals(dns.lookups, 1);
  await clock.advance(1);
  assertEquals(dns.lookups, 2);
  await clock.advance(6_000);
  discovery.refresh();
  await clock.advance(0);
  assertEquals(dns.lookups, 3);
});

Deno.test("DnsDiscovery: a connection that is lost during a lookup brings the next one forward, too", async () => {
  const { clock, dns, discovery } = open();
  await using _seen = follow(discovery);
  discovery.refresh();
  await settle();
  await clock.advance(5_000);
  assertEquals(dns.lookups, 2);
  await clock.advance(26_000);
  assertEquals(dns.lookups, 2);
});

Deno.test("DnsDiscovery: a resolver that does not answer fails after timeout", async () => {
  const { clock, dns, discovery } = open({ timeout: 2_000 });
  dns.a = "never";
  const list = assertRejects(() => discovery.endpoints(), RpcError, "no answer within 2000 ms");
  await clock.advance(2_000);
  await list;
  assertEquals(clock.timers, 0);
});

Deno.test("DnsDiscovery: without a list, the error says which name and why", async () => {
  const { dns, discovery } = open();
  dns.a = [];
  await assertRejects(
    () => discovery.endpoints(),
    RpcError,
    "There are no records for the addresses of api.example",
  );
  dns.a = new Error("REFUSED");
  await assertRejects(() => discovery.endpoints(), RpcError, "api.example: REFUSED");
});

Deno.test("DnsDiscovery: an enormous answer is cut", async () => {
  const { dns, discovery } = open();
  dns.a = Array.from({ length: 70_000 }, (_, i) => `10.${i >> 16}.${i >> 8 & 255}.${i & 255}`);
  assertEquals((await discovery.endpoints()).length, 16_384);
});

Deno.test("DnsDiscovery: invalid names and options are refused", () => {
  for (const name of ["", "a b", ".", "a..b", "http://a", "a:9000", 1 as unknown as string]) {
    assertThrows(() => new DnsDiscovery(name, { port: 1 }), TypeError, "expected a DNS name");
  }
  for (const port of [0, 65_536, 1.5, NaN]) {
    assertThrows(() => new DnsDiscovery("a", { port }), RangeError, "port");
  }
  assertThrows(() => new DnsDiscovery("a", { port: 1, refreshInterval: 999 }), RangeError, "refreshInterval");
  assertThrows(() => new DnsDiscovery("a", { port: 1, transport: "udp" as "tcp" }), TypeError, "transport");
  assertThrows(
    () => new DnsDiscovery("a", { port: 1, interval: 1 } as DnsDiscoveryOptions),
    TypeError,
    "interval",
  );
});

Deno.test("SrvDiscovery: the lowest priority gets the calls, others are standbys of weight 0", async () => {
  const dns = new Script();
  const record = (priority: number, weight: number, target: string, port = 9000) => ({
    priority,
    weight,
    target,
    port,
  });
  const discovery = new SrvDiscovery("_rpc._tcp.example", { resolver: dns, transport: "tls" });
  dns.srv = [record(20, 5, "c.example."), record(10, 0, "b.example"), record(10, 60, "a.example", 9001)];
  assertEquals(await discovery.endpoints(), [
    { address: "tls@a.example:9001", weight: 60 },
    { address: "tls@b.example:9000", weight: 1 },
    { address: "tls@c.example:9000", weight: 0 },
  ]);
});

Deno.test("SrvDiscovery: a service that is not available has no servers", async () => {
  const dns = new Script();
  dns.srv = [{ priority: 0, weight: 0, target: ".", port: 0 }];
  const discovery = new SrvDiscovery("_rpc._tcp.example", { resolver: dns });
  await assertRejects(() => discovery.endpoints(), RpcError, "the SRV records of _rpc._tcp.example");
});
