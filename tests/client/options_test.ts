// Options as users misspell and mistake them: every place that takes options once refuses what it does not know.

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  announce,
  connect,
  type ConnectOptions,
  EtcdStore,
  limitConcurrency,
  MemoryStore,
  method,
  Registry,
  RegistryDiscovery,
  Server,
  type ServerOptions,
} from "../../mod.ts";
import { CborCodec, JsonCodec } from "../../codec/mod.ts";
import { Link } from "../support/service_link.ts";

const URL = "http://127.0.0.1:9/_rpc_/registry";
const SERVER = { address: "tcp@127.0.0.1:9" };

/** Every place that takes options, and what its errors begin with. */
const PLACES: [string, (options: never) => unknown, string][] = [
  ["connect", (options) => connect("tcp@127.0.0.1:9", options), "Cannot connect: "],
  ["connect's tls", (tls) => connect("tcp@127.0.0.1:9", { tls }), "Cannot use tls: "],
  ["Server", (options) => new Server(options), "Cannot create server: "],
  ["Server's tls", (tls) => new Server({ tls }), "Cannot use tls: "],
  ["shutdown", (options) => new Server().shutdown(options), "Cannot shut down: "],
  ["announce", (options) => announce(URL, SERVER, options), "Cannot announce: "],
  ["Registry", (options) => new Registry(options), "Cannot create registry: "],
  ["MemoryStore", (options) => new MemoryStore(options), "Cannot create store: "],
  ["EtcdStore", (options) => new EtcdStore(URL, options), "Cannot create store: "],
  ["RegistryDiscovery", (options) => new RegistryDiscovery(URL, options), "Cannot discover servers: "],
  ["CborCodec", (options) => new CborCodec(options), "Cannot create codec: "],
  ["JsonCodec", (options) => new JsonCodec(options), "Cannot create codec: "],
  ["method", (options) => method(options), "Cannot define method: "],
];

for (const [name, give, begins] of PLACES) {
  Deno.test(`options: ${name} refuses unknown names and values that are not objects`, async () => {
    // Not awaited where it throws at once.
    const refused = async (options: unknown) => {
      const error = await assertRejects(async () => await give(options as never), TypeError);
      assertEquals(error.message.slice(0, begins.length), begins);
      return error.message.slice(begins.length);
    };
    assertEquals((await refused({ quux: undefined })).slice(0, 37), 'unknown option "quux"; known options:');
    assertEquals((await refused({ ["__proto__"]: 1 })).slice(0, 26), 'unknown option "__proto__"');
    assertEquals((await refused({ hasOwnProperty: 1 })).slice(0, 31), 'unknown option "hasOwnProperty"');
    for (const none of [null, 5, "text", []]) {
      assertEquals(await refused(none), "expected an object with options", String(none));
    }
  });
}

Deno.test("options: the nearest known name is suggested", () => {
  const suggested: [string, string][] = [
    ["maxInflight", "maxInFlight"],
    ["handshakeTimout", "handshakeTimeout"],
    ["codec", "codecs"],
    ["authentication", "authenticate"],
    ["TLS", "tls"],
  ];
  for (const [given, meant] of suggested) {
    assertThrows(
      () => new Server({ [given]: undefined } as ServerOptions),
      TypeError,
      `Cannot create server: unknown option "${given}"; did you mean "${meant}"?`,
    );
  }
  assertThrows(
    () => new Server({ port: 80 } as ServerOptions),
    TypeError,
    'unknown option "port"; known options: maxFrameBytes, maxInFlight, ',
  );
});

Deno.test("options: all known options are accepted", async () => {
  await using server = new Server({
    maxFrameBytes: undefined,
    maxConnections: 10,
    maxConnectionsPerPeer: 10,
    maxInFlightTotal: 10,
    handshakeTimeout: 1_000,
    handleTimeout: Infinity,
    codecs: [],
    authenticate: () => true,
    reflection: false,
    tls: undefined,
    mapError: () => undefined,
    log: () => {},
  }).register("S", { ok: () => "ok" });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address, {
    codecType: "application/cbor",
    codecs: [],
    connectTimeout: 1_000,
    timeout: 1_000,
    handleTimeout: Infinity,
    balancer: "random",
    failMode: "failfast",
    retryBudget: { ratio: 0.1, reserve: 10 },
    ejection: { consecutiveFailures: 3, baseTime: 100, maxTime: 1_000, maxShare: 0.5 },
    services: {},
    interceptors: [],
    token: "token",
    secure: false,
    tls: { caCerts: [], serverName: undefined, cert: undefined, key: undefined },
    log: () => {},
    heartbeatInterval: 1_000,
  });
  assertEquals(await client.call("S.ok"), "ok");
});

Deno.test("options: 0 is refused where it could be taken for no limit or for off", async () => {
  const timer = "from 1 to 2147483647, or Infinity for no limit";
  const limit = "of at least 1, or Infinity for no limit";
  const wrong: [ConnectOptions, string][] = [
    [{ connectTimeout: 0 }, `Cannot use connectTimeout 0: expected a whole number ${timer}`],
    [{ handleTimeout: 0 }, `Cannot use handleTimeout 0: expected a whole number ${limit}`],
    [{ maxQueueTime: 0 }, `Cannot use maxQueueTime 0: expected a whole number ${limit}`],
    [
      { heartbeatInterval: 0 },
      "Cannot use heartbeatInterval 0: expected a whole number of at least 1, or false",
    ],
  ];
  for (const [options, message] of wrong) {
    await assertRejects(() => connect("tcp@127.0.0.1:9", options), RangeError, message);
  }
  assertThrows(
    () => new Server({ handleTimeout: 0 }),
    RangeError,
    `handleTimeout 0: expected a whole number ${limit}`,
  );
  assertThrows(() => new Server({ maxConnectionsPerPeer: 0 }), RangeError, limit);
});

Deno.test("options: the error for a value of the wrong type shows it", async () => {
  const wrong: [ConnectOptions | Record<string, unknown>, string][] = [
    [{ timeout: "5" }, 'Cannot use timeout "5": expected a number of ms'],
    [{ timeout: true }, "Cannot use timeout of type boolean: expected a number of ms"],
    [{ connectTimeout: "5" }, 'Cannot use connectTimeout "5": expected a whole number'],
    [{ maxInFlight: 16n }, "Cannot use maxInFlight of type bigint: expected a whole number"],
    [{ interceptors: 5 }, "Cannot use interceptors: expected a list"],
    [{ interceptors: () => {} }, "Cannot use interceptors: expected a list"],
    [{ interceptors: null }, "Cannot use interceptors: expected a list"],
    [{ codecs: new CborCodec() }, "Cannot use codecs: expected a list"],
    [{ codecs: "application/json" }, "Cannot use codecs: expected a list"],
    [{ codecs: ["application/json"] }, "Cannot register codec: expected an object with name, encode and"],
    [{ codecs: [null] }, "Cannot register codec: expected an object with name, encode and"],
    [{ services: 5 }, "Cannot use services: expected an object"],
    [{ services: [{}] }, "Cannot use services: expected an object"],
  ];
  for (const [options, message] of wrong) {
    await assertRejects(() => connect("tcp@127.0.0.1:9", options as ConnectOptions), Error, message);
  }
  const servers = [{ codecs: {} }, { codecs: "application/json" }] as unknown[];
  for (const options of servers) {
    assertThrows(() => new Server(options as ServerOptions), TypeError, "Cannot use codecs: expected a list");
  }
  await using link = await Link.open({ ok: () => "ok" });
  await assertRejects(
    () => link.client.call("Test.ok", null, { timeout: "5" as unknown as number }),
    TypeError,
    'Cannot use timeout "5": expected a number of ms from 0 to Infinity',
  );
  assertThrows(() => limitConcurrency("5" as unknown as number), RangeError, 'concurrency to "5"');
  assertThrows(
    () => new CborCodec({ maxItems: "5" as unknown as number }),
    RangeError,
    'maxItems must be an integer from 1 to 9007199254740991, not "5"',
  );
});

Deno.test("options: a value that is neither a service's name nor a contract is refused", async () => {
  await using link = await Link.open({ ok: () => "ok" });
  for (const none of [undefined, null, 5, { ok: () => "ok" }, class {}]) {
    assertThrows(
      () => link.client.service(none as unknown as string),
      TypeError,
      "Cannot use service: expected its",
    );
  }
});

Deno.test("options: a codec of a standard name takes the standard one's place, on either side", async () => {
  // In CBOR an array is a quarter of an item, in JSON it is one.
  const many = Array.from({ length: 450_000 }, () => []);
  const large = [new CborCodec({ maxItems: 200_000 }), new JsonCodec({ maxItems: 1_000_000 })];
  for (const codecType of ["application/cbor", "application/json"]) {
    await using server = new Server({ codecs: large }).register("Echo", { echo: (value: unknown) => value });
    const { address } = await server.listen("tcp@127.0.0.1:0");
    await using client = await connect(address, { codecs: large, codecType });
    assertEquals(JSON.stringify(await client.call("Echo.echo", many)), JSON.stringify(many));
    // With the limits that it has by default, a client takes no such result.
    await using strict = await connect(address, { codecType });
    await assertRejects(() => strict.call("Echo.echo", many), Error, "maxItems");
  }
  assertThrows(
    () => new Server({ codecs: [new CborCodec(), new CborCodec()] }),
    TypeError,
    "application/cbor is registered already",
  );
});
