// MultiServers: the contract of every discovery, and what it takes for a list.

import { assertEquals, assertThrows } from "@std/assert";
import { MultiServers } from "../../discovery/multi_servers.ts";
import { testDiscovery } from "../support/contracts/discovery.ts";

testDiscovery("MultiServers", (endpoints) => {
  const discovery = new MultiServers(endpoints);
  return Promise.resolve({
    discovery,
    change: (endpoints) => Promise.resolve(discovery.update(endpoints)),
    isIdle: () => true,
  });
});

Deno.test("MultiServers: a watch receives an update within the same turn of the event loop", async () => {
  const servers = new MultiServers([]);
  const watch = servers.watch()[Symbol.asyncIterator]();
  await watch.next();
  const next = watch.next();
  servers.update(["tcp@a:1"]);
  servers.update(["tcp@b:1"]);
  // The first update woke the watch, the second is there when it asks again.
  assertEquals((await next).value, [{ address: "tcp@a:1" }]);
  assertEquals((await watch.next()).value, [{ address: "tcp@b:1" }]);
  await watch.return?.();
});

Deno.test("MultiServers: two that wait on one watch get one list each", async () => {
  const servers = new MultiServers(["tcp@a:1"]);
  const watch = servers.watch()[Symbol.asyncIterator]();
  const waiting = [watch.next(), watch.next(), watch.next()];
  servers.update(["tcp@b:1"]);
  servers.update(["tcp@c:1"]);
  const seen = (await Promise.all(waiting)).map(({ value }) => value?.[0]?.address);
  assertEquals(seen, ["tcp@a:1", "tcp@b:1", "tcp@c:1"]);
  await watch.return?.();
});

Deno.test("MultiServers: removes duplicates, and accepts any iterable", async () => {
  const servers = new MultiServers(new Set(["tcp@a:1", "tcp@b:1"]));
  servers.update([...await servers.endpoints(), "tcp@a:1"]);
  assertEquals(await servers.endpoints(), [{ address: "tcp@a:1" }, { address: "tcp@b:1" }]);
});

Deno.test("MultiServers: keeps its list when the next one is wrong", async () => {
  const servers = new MultiServers(["tcp@a:1"]);
  assertThrows(() => servers.update(["tcp@b:1", "foo"]), TypeError, 'Cannot parse address "foo"');
  assertThrows(() => servers.update("tcp@b:1"), TypeError, "expected an array of addresses, got one string");
  assertThrows(() => servers.update([{ address: "tcp@b:1", weight: -1 }]), RangeError, "weight");
  assertEquals(await servers.endpoints(), [{ address: "tcp@a:1" }]);
  assertThrows(() => new MultiServers(["tcp@a:0"]), TypeError, "port 0");
});
