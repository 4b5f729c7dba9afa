// Addresses as text and in parts, and what may be an endpoint.

import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { toEndpoint, toEndpoints } from "../../discovery/check_endpoint.ts";
import { type Address, formatAddress, parseAddress, urlHost } from "../../discovery/endpoint.ts";
import { isLoopback } from "../../transport/secure.ts";

const GOOD: [string, Address][] = [
  ["tcp@127.0.0.1:9999", { transport: "tcp", hostname: "127.0.0.1", port: 9999 }],
  ["tcp@localhost:1", { transport: "tcp", hostname: "localhost", port: 1 }],
  ["tcp@my_service.default.svc:65535", { transport: "tcp", hostname: "my_service.default.svc", port: 65535 }],
  ["tcp@0.0.0.0:80", { transport: "tcp", hostname: "0.0.0.0", port: 80 }],
  ["tcp@[::]:80", { transport: "tcp", hostname: "::", port: 80 }],
  ["tls@[2001:DB8::1]:443", { transport: "tls", hostname: "2001:DB8::1", port: 443 }],
  ["tls@[::ffff:1.2.3.4]:443", { transport: "tls", hostname: "::ffff:1.2.3.4", port: 443 }],
  ["http@a:80", { transport: "http", hostname: "a", port: 80, path: "/_rpc_" }],
  ["http@a:80/", { transport: "http", hostname: "a", port: 80, path: "/" }],
  ["ws@[::1]:80/a/b%20c@d", { transport: "ws", hostname: "::1", port: 80, path: "/a/b%20c@d" }],
  ["wss@a.b:443/x", { transport: "wss", hostname: "a.b", port: 443, path: "/x" }],
  ["unix@/run/a b@ü.sock", { transport: "unix", path: "/run/a b@ü.sock" }],
];

Deno.test("parseAddress parses addresses, formatAddress formats them", () => {
  for (const [text, address] of GOOD) {
    assertEquals(parseAddress(text), address);
    assertEquals(formatAddress(address), text);
  }
  assertEquals(formatAddress(parseAddress("http@a:80/_rpc_")), "http@a:80");
});

Deno.test("an IPv6 address has one pair of brackets in addresses and URLs, given with or without", () => {
  for (const hostname of ["::1", "[::1]"]) {
    assertEquals(urlHost(hostname), "[::1]");
    assertEquals(formatAddress({ transport: "tcp", hostname, port: 1 }), "tcp@[::1]:1");
    assertEquals(isLoopback(hostname), true);
  }
  assertEquals(["localhost", "10.0.0.7"].map(urlHost), ["localhost", "10.0.0.7"]);
});

Deno.test("parseAddress says what is wrong with an invalid address", () => {
  const example = "expected protocol@host:port, such as tcp@127.0.0.1:9999";
  const bad: [string, string][] = [
    ["foo", `Cannot parse address "foo": ${example}`],
    ["", example],
    ["constructor", example],
    ["@127.0.0.1:1", example],
    ["tcp@", example],
    ["tcp@:9999", example],
    ["tcp@127.0.0.1", example],
    ["tcp@::1:9999", "an IPv6 address needs brackets: [::1]:9999"],
    ["tcp@2001:db8::7:9999", "an IPv6 address needs brackets: [::1]:9999"],
    ["tcp@[::1]", example],
    ["tcp@[fe80::1%eth0]:1", example],
    ["tcp@a b:1", example],
    ["tcp@user@a:1", example],
    ["tcp://127.0.0.1:1", example],
    ["localhost:1", `${example}; did you mean tcp@localhost:1?`],
    ["localhost", example],
    ["tcp@localhost", `the port is missing, ${example}`],
    ["http://127.0.0.1:1", "an RPC server on HTTP is http@host:port"],
    ["http://127.0.0.1:1/_rpc_/registry", `${example}; the URL of a registry is for RegistryDiscovery`],
    ["udp@127.0.0.1:1", "unknown protocol, expected one of tcp, tls, unix, http, ws, wss"],
    ["TCP@127.0.0.1:1", "unknown protocol"],
    ["toString@127.0.0.1:1", "unknown protocol"],
    ["tcp@999.0.0.1:1", "the host is neither a name nor an IP address"],
    ["tcp@[::1::2]:1", "the host is neither a name nor an IP address"],
    ["tcp@[1.2.3.4]:1", "the host is neither a name nor an IP address"],
    ["tcp@127.0.0.1:65536", "the port must be an integer from 1 to 65535"],
    ["tcp@127.0.0.1:70000", "the port must be"],
    ["tcp@127.0.0.1:080", "the port must be"],
    ["tcp@127.0.0.1:99999999999999999999", "the port must be"],
    ["tcp@127.0.0.1:-1", example],
    ["tcp@127.0.0.1:1e3", example],
    ["tcp@127.0.0.1:0", "port 0 is for listening only"],
    ["tcp@127.0.0.1:1/path", "tcp addresses have no path"],
    ["http@127.0.0.1:1/?q", "without query and fragment"],
    ["http@127.0.0.1:1/#f", "without query and fragment"],
    ["http@127.0.0.1:1/a b", "without query and fragment"],
    ["unix@run/a", "expected the absolute path of a socket"],
    ["unix@/", "expected the absolute path of a socket"],
    [`unix@/${"ü".repeat(60)}`, "at most 107 bytes"],
    ["tcp@a:1,tcp@b:1", "it contains a comma"],
    ["tcp@a:1\r\nX-Evil: 1", "a control or an invisible character"],
    ["unix@/a\0b", "a control or an invisible character"],
    ["unix@/a\u202eb", "a control or an invisible character"],
    ["unix@/a\ud800b", "a control or an invisible character"],
  ];
  for (const [text, reason] of bad) assertThrows(() => parseAddress(text), TypeError, reason, text);
  assertThrows(
    () => parseAddress("tcp@a:65536", { listen: true }),
    TypeError,
    "the port must be an integer from 0 to 65535",
  );
  assertThrows(() => parseAddress(7 as unknown as string), TypeError, "of type number");
});

Deno.test("parseAddress knows the ports of ws@ and wss@, where it is not for listening", () => {
  const at = { hostname: "a.b", path: "/_rpc_" };
  assertEquals(parseAddress("ws@a.b"), { transport: "ws", ...at, port: 80 });
  assertEquals(parseAddress("wss@a.b"), { transport: "wss", ...at, port: 443 });
  assertEquals(parseAddress("wss@[::1]/x"), { transport: "wss", hostname: "::1", port: 443, path: "/x" });
  assertThrows(() => parseAddress("ws@a.b", { listen: true }), TypeError, "expected protocol@host:port");
  for (const text of ["tcp@a.b", "tls@a.b", "http@a.b"]) {
    assertThrows(() => parseAddress(text), TypeError, "expected protocol@host:port");
  }
});

Deno.test("parseAddress takes port 0 for listening", () => {
  const address = parseAddress("tcp@127.0.0.1:0", { listen: true });
  assertEquals(address, { transport: "tcp", hostname: "127.0.0.1", port: 0 });
});

Deno.test("parseAddress quotes no more than 64 characters", () => {
  const error = assertThrows(() => parseAddress("x".repeat(1_000_000)), TypeError);
  assertMatch(error.message, /^Cannot parse address "x{64}…": /);
});

Deno.test("an endpoint is copied and frozen, and other fields are left out", () => {
  const given = { address: "tcp@a:1", services: ["A", "A", "B"], weight: 0, metadata: { zone: "z" }, age: 7 };
  const endpoint = toEndpoint(given);
  given.services.push("C");
  given.metadata.zone = "y";
  assertEquals(endpoint, { address: "tcp@a:1", services: ["A", "B"], weight: 0, metadata: { zone: "z" } });
  assertEquals([endpoint, endpoint.services, endpoint.metadata].every(Object.isFrozen), true);
  assertEquals(Object.keys(toEndpoint("tcp@a:1")), ["address"]);
});

Deno.test("metadata may have any name", () => {
  const endpoint = toEndpoint(
    JSON.parse('{ "address": "tcp@a:1", "metadata": { "__proto__": "x", "constructor": "y" } }'),
  );
  assertEquals(Object.entries(endpoint.metadata!), [["__proto__", "x"], ["constructor", "y"]]);
  assertEquals(({} as Record<string, unknown>).x, undefined);
});

Deno.test("an invalid or oversized endpoint is refused with a reason", () => {
  const address = "tcp@a:1";
  const names = (count: number) => Array.from({ length: count }, (_, i) => `S${i}`);
  const texts = (count: number) => Object.fromEntries(names(count).map((name) => [name, ""]));
  const bad: [unknown, typeof TypeError | typeof RangeError, string][] = [
    [undefined, TypeError, "expected an address or an object"],
    [null, TypeError, "expected an address or an object"],
    [7, TypeError, "expected an address or an object"],
    [{}, TypeError, "its address must be a string"],
    [{ address: 7 }, TypeError, "its address must be a string"],
    ["constructor", TypeError, "expected protocol@host:port"],
    ["tcp@a:0", TypeError, "port 0"],
    [`http@a:1/${"x".repeat(256)}`, RangeError, "longer than 256 characters"],
    [{ address, services: "Foo" }, TypeError, "must be an array of names"],
    [{ address, services: [7] }, TypeError, "must be non-empty names"],
    [{ address, services: [""] }, TypeError, "must be non-empty names"],
    [{ address, services: ["a\nb"] }, TypeError, "control or invisible"],
    [{ address, services: ["x".repeat(129)] }, RangeError, "longer than 128 characters"],
    [{ address, services: names(65) }, RangeError, "more than 64 services"],
    [{ address, services: names(100_000) }, RangeError, "more than 64 services"],
    [{ address, weight: "1" }, TypeError, "weight must be a number"],
    [{ address, weight: null }, TypeError, "weight must be a number"],
    [{ address, weight: -1 }, RangeError, "from 0 to 1000000"],
    [{ address, weight: 1_000_001 }, RangeError, "from 0 to 1000000"],
    [{ address, weight: NaN }, RangeError, "from 0 to 1000000"],
    [{ address, weight: Infinity }, RangeError, "from 0 to 1000000"],
    [{ address, metadata: [] }, TypeError, "metadata must be an object"],
    [{ address, metadata: null }, TypeError, "metadata must be an object"],
    [{ address, metadata: { a: 1 } }, TypeError, "must be strings"],
    [{ address, metadata: texts(33) }, RangeError, "more than 32 entries"],
    [{ address, metadata: { a: "x".repeat(4096) } }, RangeError, "longer than 4096 bytes"],
    [{ address, metadata: { a: "ü".repeat(2048) } }, RangeError, "longer than 4096 bytes"],
    [{ address, metadata: { a: "x".repeat(1 << 20) } }, RangeError, "longer than 4096 bytes"],
  ];
  for (const [value, kind, reason] of bad) assertThrows(() => toEndpoint(value), kind, reason);
  toEndpoint({ address, services: names(64), weight: 1_000_000, metadata: texts(32) });
  toEndpoint({ address, metadata: { a: "x".repeat(4095) } });
});

Deno.test("an address that is given twice is kept once: at the first place, with the last data", () => {
  const list = toEndpoints(["tcp@a:1", "tcp@b:1", { address: "tcp@a:1", weight: 2 }]);
  assertEquals(list, [{ address: "tcp@a:1", weight: 2 }, { address: "tcp@b:1" }]);
});
