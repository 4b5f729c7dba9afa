// The client's side of bench:distance: streams that fill a long line, small calls that share a connection with
// large transfers, and the first call of a connection. Used by side.ts; grpc.go does the same.

import type { Peer, PeerClient } from "./peer.ts";
import { median, quantile } from "./report.ts";
import type { DistanceKind, Load } from "./workloads.ts";

/** What crossed a line in one run. */
export interface Crossing {
  /** Bytes of items or large echoes per second. */
  readonly rate?: number;
  /** Median and 99th percentile of the small calls, in ms; for `first` the median of first calls. */
  readonly p50?: number;
  readonly p99?: number;
  /** Median of small calls while nothing else uses the connection, in ms. */
  readonly alone?: number;
}

const KINDS: readonly string[] = ["down", "up", "echoes", "bulk", "first"] satisfies DistanceKind[];
/** Size of a small call, in bytes, and the interval in which one is started, in ms. */
const SMALL_BYTES = 100;
const SMALL_INTERVAL = 20;
/** Number of small calls that are measured alone. */
const ALONE = 20;
/** Number of connections whose first call is measured, after one that warms up the program. */
const FIRST_CALLS = 5;
/** More items than a run can receive. */
const ENDLESS = 0xffff_ffff;

/** Whether a load belongs to bench:distance. */
export function isOverDistance({ kind }: Load): boolean {
  return KINDS.includes(kind);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Runs a load over a long line. Its transfers go on until the process ends. */
export async function cross(peer: Peer, port: number, load: Load): Promise<Crossing> {
  if (load.kind === "first") return await firstCalls(peer, port, load);
  const client = await peer.connect(port, load);
  if (load.kind === "down") {
    const received = download(client, load);
    return { rate: await rateOf(() => Promise.resolve(received()), load) };
  }
  if (load.kind === "up") {
    client.upload!(load.bytes);
    return { rate: await rateOf(async () => await client.received!() * load.bytes, load) };
  }
  return await smallCalls(client, load);
}

/** Starts a stream from the server. Returns a function that returns how many bytes have arrived. */
function download(client: PeerClient, { bytes }: Load): () => number {
  let received = 0;
  client.stream!(ENDLESS, bytes, (_first, length) => received += length);
  return () => received;
}

/** Bytes per second after the warm-up. */
async function rateOf(read: () => Promise<number>, { warm, seconds }: Load): Promise<number> {
  await pause(warm * 1_000);
  const before = await read();
  const since = performance.now();
  await pause(seconds * 1_000);
  const after = await read();
  return (after - before) / (performance.now() - since) * 1_000;
}

/** Starts a small call at each interval, whether or not the last one has ended, beside a large transfer. */
async function smallCalls(client: PeerClient, load: Load): Promise<Crossing> {
  const small = new Uint8Array(SMALL_BYTES);
  const timeOf = async () => {
    const since = performance.now();
    await client.echo!(small);
    return performance.now() - since;
  };
  await timeOf();
  const alone: number[] = [];
  for (let i = 0; i < ALONE; i++) alone.push(await timeOf());
  const transferred = load.kind === "bulk" ? download(client, load) : keepEchoing(client, load);
  const times: Promise<number>[] = [];
  let measuring = false;
  const timer = setInterval(() => {
    const time = timeOf();
    if (measuring) times.push(time);
  }, SMALL_INTERVAL);
  const rate = await rateOf(() => {
    measuring = !measuring;
    return Promise.resolve(transferred());
  }, load);
  clearInterval(timer);
  const sorted = (await Promise.all(times)).sort((a, b) => a - b);
  return { rate, p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), alone: median(alone) };
}

/** Keeps large echoes in flight. Returns a function that returns how many bytes have come back. */
function keepEchoing(client: PeerClient, { outstanding, bytes }: Load): () => number {
  let received = 0;
  const body = new Uint8Array(bytes);
  const run = async () => {
    for (;;) {
      const { length } = await client.echo!(body);
      received += length;
    }
  };
  for (let i = 0; i < outstanding; i++) run();
  return () => received;
}

/** The time from dialing to the first response. */
async function firstCalls(peer: Peer, port: number, load: Load): Promise<Crossing> {
  const times: number[] = [];
  for (let i = 0; i <= FIRST_CALLS; i++) {
    const since = performance.now();
    const client = await peer.connect(port, load);
    if (await client.sum(1, 2) !== 3) throw new Error("Wrong response: 1 + 2 is not 3");
    times.push(performance.now() - since);
  }
  return { p50: median(times.slice(1)) };
}
