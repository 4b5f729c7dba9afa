// bench:distance without a network: its command line, its loads against a peer in memory, and its tables.

import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { cross, isOverDistance } from "../../bench/crossing.ts";
import {
  DISTANCE_ROWS,
  DistanceSamples,
  readDistanceFlags,
  renderDistance,
  rowFor,
} from "../../bench/distance_rows.ts";
import type { Peer, PeerClient } from "../../bench/peer.ts";
import type { Contestant } from "../../bench/peers.ts";
import { type DistanceKind, loadOf } from "../../bench/workloads.ts";

const socket: Contestant = { name: "socket", title: "raw", role: "limit", file: "" };
const ours: Contestant = { name: "troodon", title: "mine", role: "ours", file: "" };
const other: Contestant = { name: "grpc", title: "theirs", role: "peer", file: "" };

function rowNamed(name: string) {
  return DISTANCE_ROWS.find((row) => row.name === name)!;
}

Deno.test("bench distance flags: rows are chosen by the beginning of their names", () => {
  const all = readDistanceFlags([]);
  assertEquals([all.rounds, all.seconds, all.rows], [3, 2.5, DISTANCE_ROWS]);
  const { rows } = readDistanceFlags(["--rows", "up-1024, first"]);
  assertEquals(rows.map(({ name }) => name), ["up-1024-20", "up-1024-100", "first"]);
});

Deno.test("bench distance flags: what is invalid is refused", () => {
  const cases: [string[], string][] = [
    [["--rows", "sideways"], "--rows: no name of a row begins with sideways"],
    [["--rounds", "0"], "--rounds: expected a whole number from 1 to 999"],
    [["--seconds", "6"], "--seconds: expected a number from 0.1 to 5"],
    [["--json"], "--json: expected a value"],
    [["--peers", "none"], "unknown argument --peers"],
  ];
  for (const [args, message] of cases) assertThrows(() => readDistanceFlags(args), Error, message);
});

/** A peer whose every answer and item takes a turn of the event loop. */
class MemoryPeer implements Peer, PeerClient {
  connections = 0;
  largeEchoes = 0;
  mostLargeEchoes = 0;
  #uploaded = 0;
  #ended = false;

  /** Ends transfers that otherwise go on until the process ends. */
  async end(): Promise<void> {
    this.#ended = true;
    await turn();
    await turn();
  }

  serve(): Promise<number> {
    return Promise.resolve(0);
  }

  connect(): Promise<PeerClient> {
    this.connections++;
    return Promise.resolve(this);
  }

  async sum(a: number, b: number): Promise<number> {
    await turn();
    return a + b;
  }

  async echo(bytes: Uint8Array): Promise<Uint8Array> {
    if (bytes.length > 100) this.mostLargeEchoes = Math.max(this.mostLargeEchoes, ++this.largeEchoes);
    await turn();
    if (bytes.length > 100) this.largeEchoes--;
    // A promise that never settles ends the loop of large echoes.
    if (this.#ended) await new Promise(() => {});
    return bytes;
  }

  async stream(_count: number, size: number, take: (first: number, length: number) => void): Promise<void> {
    for (; !this.#ended; await turn()) take(0, size);
  }

  async upload(): Promise<void> {
    for (; !this.#ended; await turn()) this.#uploaded++;
  }

  received(): Promise<number> {
    return Promise.resolve(this.#uploaded);
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

function load(kind: DistanceKind) {
  return loadOf({ kind, bytes: 1_024, outstanding: 3, warm: 0.02, seconds: 0.1 });
}

Deno.test("bench distance: streams are measured in both directions, by what their receiver has got", async () => {
  for (const kind of ["down", "up"] as const) {
    const peer = new MemoryPeer();
    const { rate } = await cross(peer, 0, load(kind));
    await peer.end();
    assertEquals(rate! > 0 && Number.isFinite(rate!), true, kind);
  }
});

Deno.test("bench distance: small calls are timed alone, and during a stream", async () => {
  const peer = new MemoryPeer();
  const { rate, p50, p99, alone } = await cross(peer, 0, load("bulk"));
  await peer.end();
  assertEquals([rate! > 0, alone! > 0, p50! > 0, p99! >= p50!], [true, true, true, true]);
});

Deno.test("bench distance: as many large echoes are in flight as the row says", async () => {
  const peer = new MemoryPeer();
  const { rate, p50 } = await cross(peer, 0, load("echoes"));
  await peer.end();
  assertEquals([rate! > 0, p50! > 0, peer.mostLargeEchoes], [true, true, 3]);
});

Deno.test("bench distance: first calls use a connection each", async () => {
  const peer = new MemoryPeer();
  const { p50 } = await cross(peer, 0, load("first"));
  assertEquals([p50! > 0, peer.connections], [true, 6]);
});

Deno.test("bench distance: loads of the other benchmarks are not for a long line", () => {
  assertEquals(DISTANCE_ROWS.every((row) => isOverDistance(loadOf(row.load))), true);
  assertEquals(isOverDistance(loadOf({ kind: "stream" })), false);
});

Deno.test("bench distance: all streams of a direction are compared with one stream of a plain socket", () => {
  assertEquals(rowFor(rowNamed("down-100-20"), socket)!.name, "down-65536-20");
  assertEquals(rowFor(rowNamed("up-1024-100"), socket)!.name, "up-65536-100");
  assertEquals(rowFor(rowNamed("down-100-20"), ours)!.name, "down-100-20");
  assertEquals(rowFor(rowNamed("echoes"), socket), undefined);
  assertEquals(rowFor(rowNamed("first"), socket)!.name, "first");
});

Deno.test("bench distance: tables show shares of the same round, and leave out what has failed", () => {
  const samples = new DistanceSamples();
  const MIB = 1_048_576;
  for (const rate of [100, 50]) samples.add(rowNamed("down-65536-20"), socket, { rate: rate * MIB });
  for (const rate of [90, 50]) samples.add(rowNamed("down-100-20"), ours, { rate: rate * MIB });
  samples.add(rowNamed("down-100-20"), other, {});
  samples.add(rowNamed("down-100-20"), other, { rate: 25 * MIB });
  samples.add(rowNamed("echoes"), ours, { p50: 40, p99: 80, alone: 20, rate: 5 * MIB });
  samples.add(rowNamed("echoes"), other, { p50: 80, p99: 100, alone: 20, rate: 6 * MIB });
  samples.add(rowNamed("first"), ours, { p50: 310 });
  const rows = ["down-100-20", "echoes", "first"].map(rowNamed);
  const text = renderDistance(rows, [socket, ours, other], samples);
  assertMatch(
    text,
    /^\| 100 bytes, from the server \| +20 \| +75\.0 \(50\.0–100\) \| 0\.95 \(0\.90–1\.00\) \| 0\.50 /m,
  );
  assertMatch(text, /^\| mine +\| 40\.0 \(40\.0–40\.0\) \| +\| 80\.0/m);
  assertMatch(text, /^\| theirs \| 80\.0 \(80\.0–80\.0\) \| 2\.00 \(2\.00–2\.00\) \|/m);
  assertMatch(text, /^\| mine +\| 3\.10 \(3\.10–3\.10\) \|$/m);
  const [streams] = renderDistance(rows.slice(0, 1), [socket, ours, other], samples).split("\n### ", 1);
  assertEquals(streams!.includes("every 20 ms"), false);
});
