// The public surface: what `mod.ts` exports, and that every public name can be imported from an entry point.

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import * as root from "../../mod.ts";
import { deno, entryPoints } from "../support/package.ts";

/** The most names that `mod.ts` may export. */
const MAX_NAMES = 70;

/** Programs rely on these: removing one is a breaking change. */
const VALUES = [
  "announce",
  "Client",
  "CODES",
  "connect",
  "createBalancer",
  "defineService",
  "detach",
  "EtcdStore",
  "limitConcurrency",
  "logCalls",
  "MemoryStore",
  "method",
  "MultiServers",
  "oneOfTokens",
  "Reflection",
  "Registry",
  "RegistryDiscovery",
  "requireToken",
  "RpcError",
  "sendToken",
  "Server",
];
const TYPES = [
  "AnnounceOptions",
  "Authenticate",
  "Balancer",
  "Call",
  "CallContext",
  "CallOptions",
  "ClientStats",
  "Code",
  "Codec",
  "ConnectOptions",
  "ConnectTlsOptions",
  "Contract",
  "ContractClient",
  "ContractHandlers",
  "Discovery",
  "Endpoint",
  "FailMode",
  "Handler",
  "Identity",
  "Interceptor",
  "Listening",
  "ListenOptions",
  "Log",
  "Metadata",
  "MetadataInit",
  "Next",
  "Outcome",
  "Peer",
  "PickContext",
  "Registration",
  "RegistryDiscoveryOptions",
  "RegistryOptions",
  "RegistryStore",
  "Reply",
  "ServerOptions",
  "ServerStats",
  "ServerTlsOptions",
  "ServiceClient",
  "ShutdownOptions",
  "WatchOptions",
];

async function namesOf(entry: string): Promise<string[]> {
  const { nodes } = JSON.parse((await deno("doc", "--json", entry)).stdout) as {
    nodes: Record<string, { symbols: { name: string }[] }>;
  };
  return Object.values(nodes).flatMap(({ symbols }) => symbols.map(({ name }) => name));
}

Deno.test(`surface: mod.ts exports at most ${MAX_NAMES} names, listed by hand`, async () => {
  assertLessOrEqual((await namesOf("mod.ts")).length, MAX_NAMES);
  const source = await Deno.readTextFile(new URL("../../mod.ts", import.meta.url));
  assertEquals(source.match(/export \*/g), null);
});

Deno.test("surface: mod.ts exports every name that programs rely on", async () => {
  const names = new Set(await namesOf("mod.ts"));
  assertEquals([...VALUES, ...TYPES].filter((name) => !names.has(name)), []);
  assertEquals(VALUES.filter((name) => !(name in root)), []);
});

Deno.test("surface: everything in mod.ts can also be imported from a sub-path", async () => {
  const entries = (await entryPoints()).filter((entry) => entry !== "./mod.ts");
  const names = new Set((await Promise.all(entries.map(namesOf))).flat());
  assertEquals((await namesOf("mod.ts")).filter((name) => !names.has(name)), []);
});

Deno.test("surface: every type that the public types name is public too", async () => {
  const { success, stderr } = await deno("doc", "--lint", ...await entryPoints());
  assert(success, stderr);
});
