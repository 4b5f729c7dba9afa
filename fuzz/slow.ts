// Finds inputs for which a parser is slower than linear: a prefix, a repeated part, a suffix. Eight times the
// length may take eight times as long; a backtracking regular expression takes 64 or 512 times as long.

import { cpuUsage } from "node:process";
import { parseValue } from "../cli/parse_value.ts";
import { printable } from "../cli/format.ts";
import { parseDateTime } from "../codec/date_time.ts";
import { decodeAnswer, decodeOption } from "../codec/handshake_line.ts";
import { SYSTEM_CLOCK } from "../discovery/clock.ts";
import { parseAddress } from "../discovery/endpoint.ts";
import { registryEvents } from "../discovery/registry_events.ts";
import { parseServerList } from "../discovery/registry_list.ts";
import { decodePage } from "../examples/crawler/encoding.ts";
import { parsePage } from "../examples/crawler/parse.ts";
import { parseRobots } from "../examples/crawler/robots.ts";
import { normalizeUrl } from "../examples/crawler/url.ts";
import { Registry } from "../registry/registry.ts";
import { Server } from "../server/server.ts";
import { AttributeSets } from "../telemetry/conventions.ts";
import type { Random } from "../tests/support/cbor_random.ts";
import type { Conn } from "../transport/conn.ts";
import { acceptHttp } from "../transport/http.ts";
import { LineReader } from "../transport/line_reader.ts";
import { Finding, type Target } from "./target.ts";

/** A parser of text from a peer. */
export type Reader = (text: string) => unknown;

/** Building blocks of the inputs: text that parsers look for, and text that they skip. */
const WORDS = [
  ...[
    " ",
    "\t",
    "\r",
    "\n",
    "\0",
    "a",
    "Z",
    "0",
    "1",
    "_",
    "-",
    ".",
    ",",
    ":",
    ";",
    "=",
    "/",
    "\\",
    "%",
    "%41",
    "*",
  ],
  ...["$", "@", "[", "]", "{", "}", "<", ">", '"', "'", "&", "#", "?", "é", "\u2028", "\u200b"],
  ...[
    "<meta ",
    "charset",
    "<a href=",
    "tcp@",
    "http://",
    "Bearer ",
    "User-agent",
    "Allow",
    "data:",
    "event:list",
  ],
  ...["x:1\r\n", "GET ", "127.0.0.1", "2000-01-01T00:00:00", '{"servers":[', '{"a":'],
];
/** Separates the parts of a case. */
const SEPARATOR = 0xff;
/** Length of the short input in characters; the long input has `TIMES` as many. */
const SHORT = 1_000;
const TIMES = 8;
/** Maximum ratio of the two durations. */
const MAX_RATIO = 3 * TIMES;
/** Durations below this, in ms, are dominated by noise and always pass. */
const FLOOR = 2;
const ROUNDS = 4;
/** Maximum duration of the short input on any machine, in ms. */
const MAX_SHORT_TIME = 50;

/**
 * Creates the target.
 *
 * @param readers The parsers under test, by name; by default those of the library and of the examples
 */
export function slowTarget(readers: Readonly<Record<string, Reader>> = allReaders()): Target {
  const names = Object.keys(readers);
  return {
    name: "slow",
    concurrency: 1,
    next: (random) => caseOf(random, names.length),
    async check(bytes) {
      const name = names[(bytes[0] ?? 0) % names.length]!;
      const [begin = "", piece = "", end = ""] = partsOf(bytes.subarray(1));
      const textOf = (length: number) =>
        begin + piece.repeat(Math.ceil(length / Math.max(piece.length, 1))) + end;
      const short = await timeOf(readers[name]!, textOf(SHORT));
      const what = JSON.stringify([begin, piece, end]);
      // With cubic growth, the long input would take minutes.
      if (short > MAX_SHORT_TIME) {
        throw new Finding(`${name} takes ${short} ms for ${SHORT} characters: ${what}`);
      }
      const long = await timeOf(readers[name]!, textOf(SHORT * TIMES));
      if (long > FLOOR && long > MAX_RATIO * short) {
        throw new Finding(`${name} takes ${long} ms, but ${short} ms for an eighth of the length: ${what}`);
      }
      return name;
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** The bytes of a case. */
export function slowCase(reader: number, begin: string, piece: string, end: string): Uint8Array<ArrayBuffer> {
  const [first, second, third] = [begin, piece, end].map((text) => new TextEncoder().encode(text));
  return Uint8Array.from([reader, ...first!, SEPARATOR, ...second!, SEPARATOR, ...third!]);
}

function caseOf(random: Random, readers: number): Uint8Array<ArrayBuffer> {
  const words = (maxCount: number) =>
    Array.from({ length: random.below(maxCount + 1) }, () => random.pick(WORDS)).join("");
  return slowCase(random.below(readers), words(3), words(2) || " ", words(2));
}

function partsOf(bytes: Uint8Array): string[] {
  const parts: string[] = [];
  for (let from = 0; from <= bytes.length;) {
    const to = bytes.indexOf(SEPARATOR, from);
    const end = to < 0 ? bytes.length : to;
    parts.push(new TextDecoder().decode(bytes.subarray(from, end)));
    from = end + 1;
  }
  return parts;
}

/** The fastest of several runs, in ms of processor time. */
async function timeOf(read: Reader, text: string): Promise<number> {
  let fastest = Infinity;
  for (let round = 0; round < ROUNDS && fastest > FLOOR / 4; round++) {
    const [startedAt, used] = [performance.now(), cpuUsage()];
    try {
      await read(text);
    } catch {
      // Most inputs are invalid.
    }
    const { user, system } = cpuUsage(used);
    fastest = Math.min(fastest, performance.now() - startedAt, (user + system) / 1_000);
  }
  return fastest;
}

/** Everything that parses text from a peer, in the library and in the examples. */
export function allReaders(): Record<string, Reader> {
  const attributes = new AttributeSets("server");
  const server = new Server();
  let made: Registry | undefined;
  const registry = () => made ??= new Registry({ token: "secret" });
  const url = "http://127.0.0.1/_rpc_/registry";
  return {
    head: (text) => ask(`GET / HTTP/1.1\r\n${text}\r\n\r\n`),
    field: (text) => ask(`GET /debug/rpc HTTP/1.1\r\nHost: x\r\na:${text}\r\n\r\n`),
    "request line": (text) => ask(`GET /${text} HTTP/1.1\r\n\r\n`),
    host: (text) => ask(`GET / HTTP/1.1\r\nHost: ${text}\r\n\r\n`),
    option: (text) => decodeOption(new TextEncoder().encode(text)),
    answer: (text) => decodeAnswer(new TextEncoder().encode(text), "application/cbor"),
    address: (text) => parseAddress(`tcp@${text}`),
    "date and time": parseDateTime,
    "attributes of an address": (text) => attributes.ofAddress(text),
    "registry's list": (text) => parseServerList(text),
    "registry's event": (text) => followEvents(text),
    "headers of server.fetch": (text) =>
      server.fetch(
        new Request("http://127.0.0.1/debug/rpc", { headers: fields(text, "accept", "authorization") }),
      ),
    "headers of a registry": (text) =>
      registry().fetch(
        new Request(url, {
          method: "DELETE",
          headers: fields(text, "authorization", "x-rpc-server", "x-rpc-incarnation", "origin"),
        }),
      ),
    "watch of a registry": (text) =>
      registry().fetch(
        new Request(`${url}?watch=${encodeURIComponent(text)}`, { headers: fields(text, "last-event-id") }),
      ),
    "robots.txt": (text) => parseRobots(text).allows(text.slice(0, 2_000)),
    page: (text) => parsePage(text, "http://127.0.0.1/"),
    "encoding of a page": (text) => decodePage(new TextEncoder().encode(text), text),
    URL: (text) => normalizeUrl(text, "http://127.0.0.1/"),
    "value of the command line": (text) => parseValue(text, "ARGS"),
    "text for a terminal": printable,
  };
}

/** Headers with the text as each value, trimmed as an HTTP implementation does. */
function fields(text: string, ...names: string[]): Headers {
  const value = text.replace(/[\0\r\n\u0100-\uffff]/g, "x").trim();
  return new Headers(names.map((name) => [name, value]));
}

/** Sends a raw request to the HTTP parser. */
async function ask(request: string): Promise<void> {
  const bytes = new TextEncoder().encode(request);
  let at = 0;
  const conn: Conn = {
    peer: "tcp@127.0.0.1:1",
    read(into) {
      if (at === bytes.length) return Promise.resolve(null);
      const part = bytes.subarray(at, at + into.length);
      into.set(part);
      at += part.length;
      return Promise.resolve(part.length);
    },
    write: (from) => Promise.resolve(from.length),
    closeWrite: () => Promise.resolve(),
    close() {},
  };
  await acceptHttp(conn, new LineReader(conn), "/_rpc_", {
    fetch: () => new Response("hello"),
    refuseWebSocket: () => undefined,
  });
}

/** Follows a registry that responds with the text. */
async function followEvents(text: string): Promise<void> {
  const events = registryEvents({
    fetch: () => Promise.resolve(new Response(text, { headers: { "content-type": "text/event-stream" } })),
    clock: SYSTEM_CLOCK,
    url: new URL("http://127.0.0.1/"),
    token: undefined,
    after: undefined,
    timeout: 1_000,
    maxBytes: 1_048_576,
    signal: new AbortController().signal,
  });
  for await (const _event of events);
}
