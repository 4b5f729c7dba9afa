// deno-lint-ignore-file no-console -- the output is this program's purpose
// `deno task memory`: measures the memory that connections, calls, streams and frames cost a server at most,
// and compares it with docs/LIMITS.md, for each transport. Each case starts its own server and measures its
// resident memory.
//   --transport=tcp   tcp, tls, unix, ws (an http@ listener) or serve (Deno.serve); may be given several times

import { parseArgs } from "@std/cli";
import { MAX_METADATA_ENTRIES, type Metadata } from "../call/metadata.ts";
import { ByteBuffer } from "../codec/bytes.ts";
import { CborCodec } from "../codec/cbor.ts";
import { beginCall, beginItem, endFrame } from "../codec/frame.ts";
import { parseAddress } from "../discovery/endpoint.ts";
import { type Conn, writeAll } from "../transport/conn.ts";
import { requestHandshake } from "../session/handshake.ts";
import { LineReader } from "../transport/line_reader.ts";
import { dialTcp, dialUnix } from "../transport/tcp.ts";
import { dialTls } from "../transport/tls.ts";
import { dialWebSocketConn } from "../transport/websocket_dial.ts";
import { Child, pause } from "./child.ts";

const MIB = 1_048_576;
const MAX_FRAME_BYTES = 4 * MIB;
const MAX_ITEMS = 100_000;
const MAX_UNSENT_BYTES = 8 * MIB;
const MAX_WINDOW_BYTES = 32 * MIB;

// The figures of docs/LIMITS.md, in bytes.
const CONNECTION = 65_536;
const CALL = 57_344;
const ITEM = 300;
/** A value of any kind: byte strings are limited by `maxItems`, numbers by `maxFrameBytes`. */
const VALUE = Math.max(MAX_FRAME_BYTES + ITEM * MAX_ITEMS, 10 * MAX_FRAME_BYTES);
const UNREAD = 262_144 + MAX_FRAME_BYTES;
const SHORT_ITEM = 65_536;
const ARRIVING = 1.5 * MAX_FRAME_BYTES + 262_144;
const LEAVING = 1.5 * MAX_UNSENT_BYTES + 2 * MAX_FRAME_BYTES;
/** Additional buffers of a transport, in bytes. */
const HELD: Readonly<Record<string, number>> = {
  tls: 4 * MIB,
  ws: 131_072,
  serve: MAX_FRAME_BYTES + MAX_UNSENT_BYTES + MAX_WINDOW_BYTES,
};

/** A resource of which a server must hold many. */
interface Case {
  readonly name: string;
  readonly connections: number;
  /** The bytes that each connection sends, once. */
  readonly send: () => Uint8Array<ArrayBuffer>[];
  /** Documented maximum for each connection, without the connection itself, in bytes. */
  readonly documented: number;
}

const codec = new CborCodec();

/** A Call with a body; an empty one starts a stream. */
function call(seq: number, method: string, body: Uint8Array, metadata?: Metadata): Uint8Array<ArrayBuffer> {
  const out = new ByteBuffer(body.length + 32);
  beginCall(out, seq, method, 0, metadata);
  out.append(body);
  endFrame(out, 0);
  return out.written();
}

function item(seq: number, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new ByteBuffer(body.length + 32);
  beginItem(out, seq);
  out.append(body);
  endFrame(out, 0);
  return out.written();
}

function list(count: number, element: Uint8Array, first?: Uint8Array): Uint8Array {
  const out = new ByteBuffer(count * element.length + 64);
  const length = first === undefined ? count : count + 1;
  out.append(Uint8Array.of(0x9a, length >>> 24, length >>> 16, length >>> 8, length));
  if (first !== undefined) out.append(first);
  for (let i = 0; i < count; i++) out.append(element);
  return out.written();
}

/** `count` calls, numbered as a client does. */
function calls(count: number, make: (seq: number) => Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer>[] {
  return Array.from({ length: count }, (_, i) => make(2 * i + 1)).flat();
}

const nullValue = Uint8Array.of(0xf6);
const bytesOf80 = Uint8Array.of(0x58, 79, ...new Uint8Array(79));
/** Values as large as the decoder accepts, of the kinds that take the most memory. */
const LARGE_VALUES: Readonly<Record<string, Uint8Array>> = {
  "byte strings": list(MAX_ITEMS / 2 - 1, bytesOf80),
  "numbers": list(MAX_FRAME_BYTES - 64, Uint8Array.of(1)),
  "empty maps": list(4 * (MAX_ITEMS - 1), Uint8Array.of(0xa0)),
  // V8 keeps each of these as an object, because the array also has a text.
  "fractions after a text": list(
    Math.floor(MAX_FRAME_BYTES / 3) - 64,
    Uint8Array.of(0xf9, 0x3e, 0),
    Uint8Array.of(0x61, 0x61),
  ),
};
const largeValue = LARGE_VALUES["byte strings"]!;
/** As large as an item may be for 64 of them to fit into the initial window. */
const emptyStrings = list(4_085, Uint8Array.of(0x40));
const metadata: Metadata = new Map(
  Array.from({ length: MAX_METADATA_ENTRIES }, (_, i) => [`m${i}`.padEnd(64, "x"), new Uint8Array(180)]),
);

const CASES: readonly Case[] = [
  { name: "connections", connections: 256, send: () => [], documented: 0 },
  {
    name: "1024 empty calls",
    connections: 8,
    send: () => calls(1_024, (seq) => [call(seq, "Hold.value", nullValue)]),
    documented: 1_024 * CALL,
  },
  {
    name: "1024 calls with metadata",
    connections: 2,
    send: () => calls(1_024, (seq) => [call(seq, "Hold.value", nullValue, metadata)]),
    documented: 1_024 * CALL,
  },
  ...Object.entries(LARGE_VALUES).map(([kind, value]) => ({
    name: `8 calls of maximum size, ${kind}`,
    connections: 1,
    send: () => calls(8, (seq) => [call(seq, "Hold.value", value)]),
    documented: ARRIVING + 8 * (CALL + VALUE),
  })),
  {
    name: "16 unread streams of long items",
    // With one connection the tens of MiB of freed buffers that the allocator keeps, once, would exceed what it holds.
    connections: 4,
    send: () =>
      calls(16, (seq) => [
        call(seq, "Hold.stream", new Uint8Array(0)),
        ...Array.from({ length: 63 }, () => item(seq, emptyStrings)),
        item(seq, largeValue),
      ]),
    documented: ARRIVING + 16 * (CALL + UNREAD),
  },
  {
    name: "64 unread streams of short items",
    connections: 1,
    send: () =>
      calls(64, (seq) => [
        call(seq, "Hold.stream", new Uint8Array(0)),
        ...Array.from({ length: 64 }, () => item(seq, list(120, Uint8Array.of(0x40)))),
      ]),
    documented: 64 * (CALL + 64 * SHORT_ITEM),
  },
  {
    name: "incomplete frames",
    connections: 16,
    send: () => [call(1, "Hold.value", new Uint8Array(MAX_FRAME_BYTES - 64)).slice(0, -1)],
    documented: ARRIVING,
  },
  {
    name: "unread responses",
    connections: 4,
    send: () => calls(1_024, (seq) => [call(seq, "Hold.blob", nullValue)]),
    documented: LEAVING,
  },
  {
    name: "long unread responses",
    connections: 4,
    send: () => calls(16, (seq) => [call(seq, "Hold.frame", nullValue)]),
    documented: LEAVING,
  },
];

async function dial(address: string, ca: string): Promise<Conn> {
  const parsed = parseAddress(address);
  const { signal } = new AbortController();
  switch (parsed.transport) {
    case "tls":
      return await dialTls(parsed, { caCerts: [ca] }, signal);
    case "ws":
      return await dialWebSocketConn(parsed, {}, 64 * MIB, signal);
    case "unix":
      return await dialUnix(parsed, signal);
    default:
      return await dialTcp(parsed as Parameters<typeof dialTcp>[0], signal);
  }
}

async function open(address: string, ca: string): Promise<Conn> {
  const conn = await dial(address, ca);
  await requestHandshake(conn, new LineReader(conn), {
    codecType: codec.name,
    connectTimeout: 0,
    handleTimeout: 0,
    maxFrameBytes: MAX_FRAME_BYTES,
    token: undefined,
  }, codec);
  return conn;
}

interface State {
  readonly rss: number;
}

/** The resident memory, once it has stopped growing. */
async function settledMemory(server: Child): Promise<number> {
  for (let before = 0;;) {
    await pause(500);
    await server.send("");
    const { rss } = await server.line<State>();
    if (Math.abs(rss - before) < MIB) return rss;
    before = rss;
  }
}

/** The cost of each connection, in bytes. */
async function measure(transport: string, { connections, send }: Case, ca: string): Promise<number> {
  const server = new Child("memory_server.ts", [transport], "memory-peer");
  const conns: Conn[] = [];
  try {
    const { address } = await server.started<{ address: string }>();
    conns.push(await open(address, ca));
    // The first connection warms up code and caches, which are not measured.
    await writeAll(conns[0]!, call(1, "Hold.value", list(1_000, bytesOf80), metadata));
    const before = await settledMemory(server);
    for (let i = 0; i < connections; i++) {
      const conn = await open(address, ca);
      conns.push(conn);
      // A connection that the server no longer reads blocks forever.
      (async () => {
        for (const part of send()) await writeAll(conn, part);
      })().catch(() => {});
    }
    return (await settledMemory(server) - before) / connections;
  } finally {
    for (const conn of conns) conn.close();
    await server.end("SIGKILL");
  }
}

const flags = parseArgs(Deno.args, { string: ["transport", "case"], collect: ["transport"] });
const transports: string[] = flags.transport.length > 0
  ? flags.transport
  : ["tcp", "tls", "unix", "ws", "serve"];
const ca = await Deno.readTextFile(new URL("../tests/certs/ca.pem", import.meta.url));
const mib = (bytes: number) => (bytes / MIB).toFixed(2).padStart(8);

for (const transport of transports) {
  for (const each of CASES) {
    if (flags.case !== undefined && !each.name.includes(flags.case)) continue;
    const documented = CONNECTION + each.documented + (each.documented > 0 ? HELD[transport] ?? 0 : 0);
    const bytes = await measure(transport, each, ca);
    const share = bytes / documented;
    if (share > 1.2) Deno.exitCode = 1;
    const mark = share > 1.2 ? "MORE" : "    ";
    console.log(
      `${transport.padEnd(5)}${mib(bytes)} MiB of ${mib(documented)} documented ${
        share.toFixed(2)
      } ${mark} ${each.name}`,
    );
  }
}
