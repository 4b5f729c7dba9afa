// Numbers and names that PROTOCOL.md, the grammar and the implementations in Python and Go repeat: compared with the code, so that each fact
// has one source.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { CODES } from "../../call/error.ts";
import { isMetadataName, MAX_METADATA_ENTRIES } from "../../call/metadata.ts";
import { Kind, MAX_HEADER_BYTES, MAX_MESSAGE_BYTES } from "../../codec/frame.ts";
import {
  decodeAnswer,
  decodeOption,
  encodeAnswer,
  encodeOption,
  MAGIC_NUMBER,
  MAX_LINE_BYTES,
  PROTOCOL_VERSION,
} from "../../codec/handshake_line.ts";
import { sessionLimits } from "../../session/limits.ts";
import { INITIAL } from "../../session/recv_window.ts";
import { LINGER_BYTES, LINGER_MS } from "../../transport/linger.ts";
import { blocksOf, readText, tableOf } from "../support/markdown.ts";
import { binary, defaultOf, defaultsIn, grouped } from "../support/stated.ts";

const PROTOCOL = readText("docs/PROTOCOL.md");
const CDDL = readText("docs/protocol.cddl");

/** The JSON of a handshake line. */
function fieldsOf(line: Uint8Array): Record<string, unknown> {
  return JSON.parse(new TextDecoder().decode(line));
}

/** A handshake line of these fields, without its LF. */
function lineOf(fields: object): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(fields));
}

/** The least number for which a function does not throw, found by halving. */
function leastTaken(take: (n: number) => unknown): number {
  const isTaken = (n: number) => {
    try {
      take(n);
      return true;
    } catch {
      return false;
    }
  };
  let [refused, taken] = [0, 2 ** 20];
  assert(!isTaken(refused) && isTaken(taken));
  while (taken - refused > 1) {
    const middle = (refused + taken) >> 1;
    if (isTaken(middle)) taken = middle;
    else refused = middle;
  }
  return taken;
}

const OPTION = decodeOption(lineOf({ magicNumber: MAGIC_NUMBER }));
const ANSWER = fieldsOf(encodeAnswer({
  codecType: "application/cbor",
  handleTimeout: 0,
  maxFrameBytes: 4_194_304,
  maxInFlight: 1_024,
  heartbeatInterval: 30_000,
  maxConnectionAge: 0,
  maxConnectionIdle: 0,
}));

const LEAST_CLIENT_FRAME = leastTaken((maxFrameBytes) =>
  decodeOption(lineOf({ magicNumber: MAGIC_NUMBER, maxFrameBytes }))
);
const LEAST_SERVER_FRAME = leastTaken((maxFrameBytes) =>
  decodeAnswer(lineOf({ ...ANSWER, maxFrameBytes }), "application/cbor")
);
const LEAST_IN_FLIGHT = leastTaken((maxInFlight) =>
  decodeAnswer(lineOf({ ...ANSWER, maxInFlight }), "application/cbor")
);

/** The longest name of metadata. */
const LONGEST_NAME = leastTaken((length) => assert(!isMetadataName("a".repeat(length + 1))));
const METADATA_NAME = `[a-z0-9._-]{1,${LONGEST_NAME}}`;

Deno.test("@default: the documented default of each limit of a connection is the actual one", () => {
  const documented = Object.fromEntries(
    defaultsIn("session/limits.ts").map(([name, value]) => [name, Number(value.replaceAll("_", ""))]),
  );
  assertEquals<unknown>(documented, { ...sessionLimits({}) });
});

Deno.test("PROTOCOL.md: the table of frames has every kind with its number", () => {
  const rows = tableOf(PROTOCOL, "kind").map(([kind = "", header = ""]) => ({ kind, header }));
  assertEquals(rows.map(({ kind }) => kind), Object.entries(Kind).map(([name, n]) => `${n} ${name}`));
  for (const { kind, header } of rows) assertStringIncludes(header, `[${Number.parseInt(kind)}, `);
});

Deno.test("PROTOCOL.md: the table of the option has every field with its default", () => {
  const sent = Object.keys(fieldsOf(encodeOption({ ...OPTION, token: "secret" })));
  const rows = tableOf(PROTOCOL, "field");
  assertEquals(rows.map(([field = ""]) => field.replaceAll("`", "")).sort(), sent.sort());
  const defaults: Record<string, unknown> = {
    ...OPTION,
    magicNumber: "required",
    version: PROTOCOL_VERSION,
    token: "absent",
  };
  for (const [field = "", , meaning = "", usual = ""] of rows) {
    const name = field.replaceAll("`", "");
    assertEquals(usual.replaceAll("`", ""), String(defaults[name]), name);
    if (name === "magicNumber") assertEquals(meaning, `${MAGIC_NUMBER} (\`0x${MAGIC_NUMBER.toString(16)}\`)`);
    if (name === "version") assertStringIncludes(meaning, `, ${PROTOCOL_VERSION}`);
    if (name === "maxFrameBytes") assertStringIncludes(meaning, `at least ${LEAST_CLIENT_FRAME}`);
  }
});

Deno.test("PROTOCOL.md: the table of the answer has every field, and the least values", () => {
  const rows = tableOf(PROTOCOL.slice(PROTOCOL.lastIndexOf("\n| field ")), "field");
  assertEquals(rows.map(([field = ""]) => field.replaceAll("`", "")), Object.keys(ANSWER));
  const meanings = new Map(rows.map(([field = "", meaning = ""]) => [field.replaceAll("`", ""), meaning]));
  assertStringIncludes(meanings.get("magicNumber")!, `${MAGIC_NUMBER}`);
  assertEquals(meanings.get("version"), `${PROTOCOL_VERSION}`);
  assertStringIncludes(meanings.get("maxFrameBytes")!, `at least ${LEAST_SERVER_FRAME}`);
  assertStringIncludes(meanings.get("maxInFlight")!, `at least ${LEAST_IN_FLIGHT}`);
});

Deno.test("PROTOCOL.md: the lines in its tour are what the code sends", () => {
  const lines = blocksOf(PROTOCOL).map(({ code }) => code).filter((code) =>
    /^\{"magicNumber":\d+,.*\}\n$/.test(code)
  );
  assertEquals(lines.length, 2);
  const [option, answer] = lines.map((line) => JSON.parse(line));
  assertEquals(option, { magicNumber: MAGIC_NUMBER, codecType: OPTION.codecType });
  assertStringIncludes(PROTOCOL, `${lines[0]!.length} bytes`);
  const { maxFrameBytes, maxInFlight, heartbeatInterval } = sessionLimits({});
  assertEquals(answer, { ...ANSWER, maxFrameBytes, maxInFlight, heartbeatInterval });
});

Deno.test("PROTOCOL.md: the table of codes has every code, and cases name no other", () => {
  assertEquals(tableOf(PROTOCOL, "code").map(([code = ""]) => code.replaceAll("`", "")), [...CODES]);
  for (const [, code = ""] of tableOf(PROTOCOL, "case")) {
    assert((CODES as readonly string[]).includes(code.replaceAll("`", "")), code);
  }
});

Deno.test("PROTOCOL.md: the table of limits has the code's limits and defaults", () => {
  const ms = (name: string) => `${grouped(defaultOf(name))} ms`;
  const expected: Record<string, string[]> = {
    "handshake line": [binary(MAX_LINE_BYTES)],
    "handshakeTimeout": [ms("handshakeTimeout")],
    "connectTimeout": [ms("connectTimeout")],
    "maxConnections": [grouped(defaultOf("maxConnections"))],
    "maxConnectionsPerPeer": [defaultOf("maxConnectionsPerPeer") === Infinity ? "none" : "?"],
    "maxFrameBytes": [
      binary(defaultOf("maxFrameBytes")),
      `at least ${binary(LEAST_SERVER_FRAME)}`,
      `at least ${LEAST_CLIENT_FRAME} bytes`,
    ],
    "header": [binary(MAX_HEADER_BYTES)],
    "metadata": [`${MAX_METADATA_ENTRIES} entries`, `${LONGEST_NAME} characters`],
    "message of an Error or GoAway": [binary(MAX_MESSAGE_BYTES)],
    "frameTimeout": [ms("frameTimeout"), "1 000 ms", "64 KiB"],
    "maxInFlight": [`${defaultOf("maxInFlight")} calls`, `at least ${LEAST_IN_FLIGHT}`],
    "initial credit of a stream": [`${INITIAL.items} items and ${INITIAL.bytes} bytes`],
    "maxInFlightTotal": [grouped(defaultOf("maxInFlightTotal"))],
    "maxQueueTime": [ms("maxQueueTime")],
    "maxUselessFrames": [grouped(defaultOf("maxUselessFrames"))],
    "maxUnsentBytes": [binary(defaultOf("maxUnsentBytes"))],
    "writeTimeout": [ms("writeTimeout")],
    "heartbeatInterval": [ms("heartbeatInterval")],
    "heartbeatTimeout": [ms("heartbeatTimeout")],
    "maxConnectionAge": [defaultOf("maxConnectionAge") === Infinity ? "no limit" : "?"],
    "maxConnectionIdle": [defaultOf("maxConnectionIdle") === Infinity ? "no limit" : "?"],
    "handleTimeout": ["no limit"],
    "timeout of a call": [ms("timeout")],
    "calls before the answer": [`${LEAST_IN_FLIGHT}, `, binary(LEAST_SERVER_FRAME)],
    "closing": [`${grouped(LINGER_MS)} ms`, binary(LINGER_BYTES)],
    "bodies": [
      `depth ${defaultOf("maxDepth")}`,
      `${grouped(defaultOf("maxItems"))} items`,
      binary(defaultOf("maxKeyBytes")),
      `${grouped(defaultOf("maxNumericKeys"))} numbers`,
    ],
  };
  const rows = tableOf(PROTOCOL, "limit");
  assertEquals(rows.map(([name]) => name), Object.keys(expected));
  for (const [name = "", text = ""] of rows) {
    for (const part of expected[name]!) assertStringIncludes(text, part, name);
    const stated: readonly string[] = expected[name]!.join(", ").match(/\d[\d ]*\d|\d/g) ?? [];
    // No number that the code does not have: 0 means off, and prose has none.
    for (const number of text.match(/\d[\d ]*\d|\d/g) ?? []) {
      assert(number === "0" || stated.includes(number), `${name}: ${number}`);
    }
  }
});

Deno.test("protocol.cddl: its numbers, fields and codes are the code's", () => {
  /** The names of a map, and their values as written. */
  const mapOf = (name: string) => {
    const [, body = ""] = new RegExp(`^${name} = \\{\\n([^}]*)\\n\\}`, "m").exec(CDDL) ?? [];
    return Object.fromEntries(
      Array.from(body.matchAll(/^ {2}(?:\? )?(\w+): ([^,\n]+)/gm), ([, field, value]) => [field!, value!]),
    );
  };
  const most = `${Number.MAX_SAFE_INTEGER}`;
  assertEquals(mapOf("option"), {
    magicNumber: `${MAGIC_NUMBER}`,
    version: `${PROTOCOL_VERSION}`,
    codecType: "tstr",
    connectTimeout: "count",
    handleTimeout: "count",
    maxFrameBytes: `${LEAST_CLIENT_FRAME}..${most}`,
    token: "tstr",
  });
  assertEquals(mapOf("accepted"), {
    magicNumber: `${MAGIC_NUMBER}`,
    version: `${PROTOCOL_VERSION}`,
    codecType: "tstr",
    handleTimeout: "count",
    maxFrameBytes: `${LEAST_SERVER_FRAME}..${most}`,
    maxInFlight: `${LEAST_IN_FLIGHT}..${most}`,
    heartbeatInterval: "count",
    maxConnectionAge: "count",
    maxConnectionIdle: "count",
  });
  const optional = ["maxConnectionAge", "maxConnectionIdle"];
  assertEquals(Object.keys(mapOf("accepted")), [...Object.keys(ANSWER), ...optional]);
  const kinds = Array.from(CDDL.matchAll(/^(\w+) += \[kind: (\d+),/gm), ([, name, n]) => [name!, Number(n)]);
  assertEquals(kinds, Object.entries(Kind).map(([name, n]) => [name.toLowerCase(), n]));
  const [, codes = ""] = /^code = ([^]+)$/m.exec(CDDL) ?? [];
  assertEquals(Array.from(codes.matchAll(/"(\w+)"/g), ([, code]) => code!), [...CODES]);
  assertStringIncludes(CDDL, `at most ${MAX_METADATA_ENTRIES},`);
  assertEquals(/^name +(= .*)$/m.exec(CDDL)?.[1], `= tstr .regexp "${METADATA_NAME}"`);
  assertEquals(/^seq +(= .*)$/m.exec(CDDL)?.[1], `= 1..${most}`);
  assertEquals(/^count (= .*)$/m.exec(CDDL)?.[1], `= 0..${most}`);
});

Deno.test("examples/foreign: the constants of the implementation in Go are the code's", () => {
  const go = ["frames", "handshake", "conn", "server", "streams", "writer", "cbor_decode", "errors"].map((
    name,
  ) => readText(`examples/foreign/go/${name}.go`)).join("\n");
  const constants = go.matchAll(/^(?:const |\t)(\w+) += ([\d_]+)?( \* )?(time\.Second)?/gm);
  const values = new Map(Array.from(constants, ([, name, n = "1", , second]) => {
    return [name!, Number(n.replaceAll("_", "")) * (second === undefined ? 1 : 1_000)];
  }));
  const limits = sessionLimits({});
  const expected: Record<string, number> = {
    magicNumber: MAGIC_NUMBER,
    version: PROTOCOL_VERSION,
    maxLine: MAX_LINE_BYTES,
    maxHeader: MAX_HEADER_BYTES,
    maxMetadata: MAX_METADATA_ENTRIES,
    maxMessage: MAX_MESSAGE_BYTES,
    maxFrame: limits.maxFrameBytes,
    leastServerFrame: LEAST_SERVER_FRAME,
    leastClientFrame: LEAST_CLIENT_FRAME,
    leastInFlight: LEAST_IN_FLIGHT,
    firstItems: INITIAL.items,
    firstBytes: INITIAL.bytes,
    frameTimeout: limits.frameTimeout,
    writeTimeout: limits.writeTimeout,
    heartbeatTimeout: limits.heartbeatTimeout,
    defaultHeartbeat: defaultOf("heartbeatInterval"),
    linger: LINGER_MS,
    lingerBytes: LINGER_BYTES,
    maxUnsent: limits.maxUnsentBytes,
    handshakeTimeout: defaultOf("handshakeTimeout"),
    defaultInFlight: limits.maxInFlight,
    maxDepth: defaultOf("maxDepth"),
    maxItems: defaultOf("maxItems"),
    maxNumericKeys: defaultOf("maxNumericKeys"),
    maxKeyBytes: defaultOf("maxKeyBytes"),
    maxBignumBytes: defaultOf("maxBignumBytes"),
  };
  assertEquals(Object.fromEntries(Object.keys(expected).map((name) => [name, values.get(name)])), expected);
  const [, kinds = ""] = /^const \(\n\tkindCall = iota \+ 1\n([^)]*)\)/m.exec(go) ?? [];
  assertEquals(
    ["Call", ...Array.from(kinds.matchAll(/kind(\w+)/g), ([, kind]) => kind!)].map((kind, i) => [
      kind.toLowerCase(),
      i + 1,
    ]),
    Object.entries(Kind).map(([name, n]) => [name.toLowerCase(), n]),
  );
  assertEquals(Array.from(go.matchAll(/^\t[A-Z]\w+ += "(\w+)"$/gm), ([, code]) => code!), [...CODES]);
  assertStringIncludes(go, `regexp.MustCompile(\`^${METADATA_NAME}$\`)`);
});

Deno.test("examples/foreign: the constants of the Python client are the code's", () => {
  const python = ["frames", "connection", "server", "client", "cbor"].map((name) =>
    readText(`examples/foreign/${name}.py`)
  ).join("\n");
  const values = new Map<string, string>();
  for (
    const [, names = "", expressions = ""] of python.matchAll(/^([A-Z_]+(?:, [A-Z_]+)*) = ([^\n({["]+)$/gm)
  ) {
    const parts = expressions.split(", ");
    for (const [i, name] of names.split(", ").entries()) values.set(name, parts[i] ?? "");
  }
  const limits = sessionLimits({});
  const expected: Record<string, number> = {
    MAGIC: MAGIC_NUMBER,
    VERSION: PROTOCOL_VERSION,
    MAX_LINE: MAX_LINE_BYTES,
    MAX_HEADER: MAX_HEADER_BYTES,
    MAX_MESSAGE: MAX_MESSAGE_BYTES,
    MAX_FRAME: limits.maxFrameBytes,
    FIRST_ITEMS: INITIAL.items,
    FIRST_BYTES: INITIAL.bytes,
    FRAME_TIMEOUT: limits.frameTimeout / 1_000,
    WRITE_TIMEOUT: limits.writeTimeout / 1_000,
    HEARTBEAT_TIMEOUT: limits.heartbeatTimeout / 1_000,
    LINGER: LINGER_MS / 1_000,
    LINGER_BYTES,
    UNSENT: limits.maxUnsentBytes / 2,
    HANDSHAKE_TIMEOUT: defaultOf("handshakeTimeout") / 1_000,
    MAX_IN_FLIGHT: limits.maxInFlight,
    DEPTH: defaultOf("maxDepth"),
    ITEMS: defaultOf("maxItems"),
    NUMBERS_AS_KEYS: defaultOf("maxNumericKeys"),
    KEY: defaultOf("maxKeyBytes"),
    BIGNUM: defaultOf("maxBignumBytes"),
  };
  const found = Object.fromEntries(
    Object.keys(expected).map((name) => [name, Number(values.get(name)?.replaceAll("_", ""))]),
  );
  assertEquals(found, expected);
  const [, kinds = "", first = ""] = /^(CALL, [A-Z, ]+) = range\((\d+), \d+\)$/m.exec(python) ?? [];
  assertEquals(
    kinds.split(", ").map((name, i) => [name, Number(first) + i]),
    Object.entries(Kind).map(([name, n]) => [name.toUpperCase(), n]),
  );
  const [, codes = ""] = /^CODES = frozenset\(([^]*?)\.split\(\)\)$/m.exec(python) ?? [];
  assertEquals(codes.match(/\w+/g), [...CODES]);
  assertEquals(
    Array.from(python.matchAll(/timeout=(\d[\d_]*)/g), ([, value]) => value!),
    [
      ...python.matchAll(/timeout=0/g),
    ].map(() => "0").concat(["30_000", "30_000"]),
  );
  assertStringIncludes(python, `least=${LEAST_SERVER_FRAME.toLocaleString("en").replace(",", "_")}`);
  assertStringIncludes(python, `least=${LEAST_IN_FLIGHT})`);
  assertStringIncludes(python, `MAX_FRAME, ${LEAST_CLIENT_FRAME})`);
  assertStringIncludes(python, `count > ${MAX_METADATA_ENTRIES}:`);
  assertStringIncludes(python, `NAME = re.compile(r"${METADATA_NAME}", re.ASCII)`);
});
