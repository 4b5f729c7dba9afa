// Texts for which a reader takes longer than their length explains: a beginning, something that is repeated, an end. What
// takes eight times as long for eight times the text is fine; a regular expression that backtracks takes 64 or 512 times.

import { cpuUsage } from "node:process";
import { parseValue } from "../cli/parse_value.ts";
import { printable } from "../cli/format.ts";
import { parseDateTime } from "../codec/date_time.ts";
import { decodeAnswer, decodeOption } from "../codec/option.ts";
import { SYSTEM_CLOCK } from "../discovery/clock.ts";
import { parseAddress } from "../discovery/endpoint.ts";
import { registryEvents } from "../discovery/registry_events.ts";
import { parseServerList } from "../discovery/server_list.ts";
import { decodePage } from "../examples/crawler/fetch_page.ts";
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

/** Something that reads the text of a peer. */
export type Reader = (text: string) => unknown;

/** What texts are made of: what the readers look for, and what they pass over. */
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
/** Between the parts of a case. */
const BOUND = 0xff;
/** Characters of the shorter text; the longer one has `TIMES` as many. */
const SHORT = 1_000;
const TIMES = 8;
/** How much longer the longer text may take. */
const ALLOWED = 3 * TIMES;
/** What a text may take in any case, in ms: shorter times are those of the machine. */
const FLOOR = 2;
const ROUNDS = 4;
/** What the shorter text takes on no machine, in ms. */
const SLOW = 50;

/**
 * Makes the target.
 *
 * @param readers What is searched, by name; the library's and the examples' by default
 */
export function slowTarget(readers: Readonly<Record<string, Reader>> = allReaders()): Target {
  const names = Object.keys(readers);
  return {
    name: "slow",
    atOnce: 1,
    next: (random) => caseOf(random, names.length),
    async check(bytes) {
      const name = names[(bytes[0] ?? 0) % names.length]!;
      const [begin = "", piece = "", end = ""] = partsOf(bytes.subarray(1));
      const textOf = (length: number) =>
        begin + piece.repeat(Math.ceil(length / Math.max(piece.length, 1))) + end;
      const short = await timeOf(readers[name]!, textOf(SHORT));
      const what = JSON.stringify([begin, piece, end]);
      // What grows with the cube would take minutes for the longer one.
      if (short > SLOW) throw new Finding(`${name} takes ${short} ms for ${SHORT} characters: ${what}`);
      const long = await timeOf(readers[name]!, textOf(SHORT * TIMES));
      if (long > FLOOR && long > ALLOWED * short) {
        throw new Finding(`${name} takes ${long} ms, and ${short} ms for an eighth of it: ${what}`);
      }
      return name;
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** The bytes of a case. */
export function slowCase(reader: number, begin: string, piece: string, end: string): Uint8Array<ArrayBuffer> {
  const [first, second, third] = [begin, piece, end].map((text) => new TextEncoder().encode(text));
  return Uint8Array.from([reader, ...first!, BOUND, ...second!, BOUND, ...third!]);
}

function caseOf(random: Random, readers: number): Uint8Array<ArrayBuffer> {
  const words = (most: number) =>
    Array.from({ length: random.below(most + 1) }, () => random.pick(WORDS)).join("");
  return slowCase(random.below(readers), words(3), words(2) || " ", words(2));
}

function partsOf(bytes: Uint8Array): string[] {
  const parts: string[] = [];
  for (let from = 0; from <= bytes.length;) {
    const to = bytes.indexOf(BOUND, from);
    const end = to < 0 ? bytes.length : to;
    parts.push(new TextDecoder().decode(bytes.subarray(from, end)));
    from = end + 1;
  }
  return parts;
}

/** The fastest of some times, in ms of the processor. */
async function timeOf(read: Reader, text: string): Promise<number> {
  let least = Infinity;
  for (let round = 0; round < ROUNDS && least > FLOOR / 4; round++) {
    const [began, used] = [performance.now(), cpuUsage()];
    try {
      await read(text);
    } catch {
      // Most of these texts are nothing.
    }
    const { user, system } = cpuUsage(used);
    least = Math.min(least, performance.now() - began, (user + system) / 1_000);
  }
  return least;
}

/** What reads the text of a peer, in the library and in the examples. */
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
    "attributes of an address": (text) => attributes.place(text),
    "registry's list": (text) => parseServerList(text),
    "registry's event": (text) => followed(text),
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
    "encoding of a page": (text) => decodePage(new TextEncoder().encode(text), fields(text, "content-type")),
    URL: (text) => normalizeUrl(text, "http://127.0.0.1/"),
    "value of the command line": (text) => parseValue(text, "ARGS"),
    "text for a terminal": printable,
  };
}

/** Headers with a text in each, as an HTTP implementation hands them on: without blanks around it. */
function fields(text: string, ...names: string[]): Headers {
  const value = text.replace(/[\0\r\n\u0100-\uffff]/g, "x").trim();
  return new Headers(names.map((name) => [name, value]));
}

/** Sends a request to an HTTP port, as bytes. */
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

/** Follows a registry that answers with a text. */
async function followed(text: string): Promise<void> {
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
