// Runs a load in a client process: a closed loop in which every response is checked and the next call starts
// when one has ended; warm-up first, then the measurement. Used by side.ts.

import process from "node:process";
import { Histogram } from "./histogram.ts";
import type { Peer, PeerClient } from "./peer.ts";
import { firstByte, recordOf } from "./peers/items.mjs";
import type { Load } from "./workloads.ts";

/** The result of a load. */
export interface Outcome {
  /** Calls, or items of streams, that ended during the measurement. */
  readonly calls: number;
  /** Duration of the measurement, in s. */
  readonly seconds: number;
  /** Times of single calls, in µs. */
  readonly times: Histogram;
}

/**
 * With more calls in flight than this only every eighth is timed: reading the clock costs a tenth of a small
 * call.
 */
const ALL_TIMED = 8;
/**
 * A load is warm when it has run for its warm-up time, and has used this share of it as CPU time: on a busy
 * machine the compiler needs longer. After three times the warm-up time it always counts as warm, because
 * some peers mostly wait.
 */
const WARM_SHARE = 0.3;
const WARM_MAX_FACTOR = 3;
/** Interval between checks for warmth, in ms. */
const WARM_CHECK_INTERVAL = 20;
/** Number of connections opened concurrently. */
const CONCURRENT_OPENS = 16;
const ADDEND = 7;

/** Tracks the phases of a load and counts calls in the measured one. */
class Meter {
  readonly times = new Histogram();
  readonly #warm: number;
  readonly #length: number;
  readonly #timesCalls: boolean;
  readonly #onStart: () => void;
  readonly #start = performance.now();
  readonly #cpuAtStart = process.cpuUsage();
  #nextCheck: number;
  #begin = 0;
  #end = 0;
  #calls = 0;

  constructor({ kind, warm, seconds }: Load, onStart: () => void) {
    this.#timesCalls = kind !== "stream";
    this.#warm = warm * 1_000;
    this.#length = seconds * 1_000;
    this.#onStart = onStart;
    this.#nextCheck = this.#start + this.#warm;
  }

  get ended(): boolean {
    return this.#end > 0;
  }

  /** Counts completed calls. */
  count(calls: number): void {
    if (this.#begin > 0 && this.#end === 0) this.#calls += calls;
  }

  /** Records the time of a call started at `since`. Returns the current time. */
  recordTime(since: number): number {
    const now = this.checkClock();
    if (this.#begin > 0 && since >= this.#begin && this.#end === 0) this.times.add((now - since) * 1_000);
    return now;
  }

  /** Checks whether to start or end the measurement. Returns the current time. */
  checkClock(): number {
    const now = performance.now();
    if (this.#begin === 0) {
      if (now >= this.#nextCheck && this.#isWarm(now)) {
        this.#onStart();
        this.#begin = performance.now();
      }
    } else if (this.#end === 0 && now - this.#begin >= this.#length && this.#hasTimes()) {
      this.#end = now;
    }
    return now;
  }

  /** On a machine that is busy with something else a short measurement lasts until one call has been timed. */
  #hasTimes(): boolean {
    return !this.#timesCalls || this.times.total > 0;
  }

  #isWarm(now: number): boolean {
    this.#nextCheck = now + WARM_CHECK_INTERVAL;
    const { user, system } = process.cpuUsage(this.#cpuAtStart);
    return (user + system) / 1_000 >= this.#warm * WARM_SHARE ||
      now - this.#start >= this.#warm * WARM_MAX_FACTOR;
  }

  outcome(): Outcome {
    return { calls: this.#calls, seconds: (this.#end - this.#begin) / 1_000, times: this.times };
  }
}

/** One call of the load, with its response checked. */
type Call = (client: PeerClient, i: number) => Promise<void>;

/**
 * Opens the connections of a load.
 *
 * @returns The clients; idle ones stay open through their connections
 */
export async function openAll(peer: Peer, port: number, load: Load, count: number): Promise<PeerClient[]> {
  const clients: PeerClient[] = [];
  while (clients.length < count) {
    const some = Math.min(CONCURRENT_OPENS, count - clients.length);
    clients.push(...await Promise.all(Array.from({ length: some }, () => peer.connect(port, load))));
  }
  return clients;
}

/**
 * Runs a load to its end.
 *
 * @param onStart Called when the warm-up is over and the measurement starts
 * @returns undefined if the peer does not support the load
 * @throws {Error} If a response is wrong
 */
export async function runLoad(
  clients: readonly PeerClient[],
  load: Load,
  onStart: () => void,
): Promise<Outcome | undefined> {
  const meter = new Meter(load, onStart);
  if (load.kind === "stream") {
    if (clients[0]?.stream === undefined) return undefined;
    await takeStreams(clients[0], load, meter);
    return meter.outcome();
  }
  if (load.kind === "echo" || load.kind === "text" || load.kind === "records") {
    if (clients[0]?.[load.kind] === undefined) return undefined;
    if (load.kind === "echo") await checkFullEcho(clients[0], load.bytes);
  } else {
    await checkSum(clients[0]!, 1);
  }
  await Promise.all(clients.flatMap((client, c) => {
    if (client.drive !== undefined) return [drive(client, load, meter)];
    return Array.from({ length: load.outstanding }, (_, slot) => {
      return keepCalling(client, callOf(load), c * load.outstanding + slot, load, meter);
    });
  }));
  return meter.outcome();
}

function callOf({ kind, bytes, items }: Load): Call {
  if (kind === "echo") return stampedEcho(bytes);
  if (kind === "text") return stampedText(bytes);
  return kind === "records" ? (client, i) => checkRecords(client, items, i) : checkSum;
}

function timingInterval({ connections, outstanding }: Load): number {
  return connections * outstanding > ALL_TIMED ? 8 : 1;
}

async function keepCalling(client: PeerClient, call: Call, first: number, load: Load, meter: Meter) {
  const every = timingInterval(load);
  let since = performance.now();
  for (let i = first; !meter.ended; i++) {
    const timed = i % every === 0;
    if (timed && every > 1) since = performance.now();
    await call(client, i);
    meter.count(1);
    if (timed) since = meter.recordTime(since);
  }
}

async function drive(client: PeerClient, load: Load, meter: Meter): Promise<void> {
  const every = timingInterval(load);
  const calls = Array.from({ length: load.outstanding }, (_, slot) => slot);
  const since = calls.map(() => performance.now());
  await client.drive!(load, (slot) => {
    meter.count(1);
    const call = calls[slot]!++;
    if (call % every === 0) since[slot] = meter.recordTime(since[slot]!);
    if (every > 1 && (call + 1) % every === 0) since[slot] = performance.now();
    return !meter.ended;
  });
}

async function checkSum(client: PeerClient, i: number): Promise<void> {
  const sum = await client.sum(i, ADDEND);
  if (sum !== i + ADDEND) throw new Error(`Wrong response: ${i} + ${ADDEND} = ${sum}`);
}

function echoBytes(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => i * 31 & 255);
}

async function checkFullEcho(client: PeerClient, length: number): Promise<void> {
  const sent = echoBytes(length);
  const got = await client.echo!(sent);
  if (got.length !== length || got.some((byte, i) => byte !== sent[i])) {
    throw new Error("Wrong response: an echo differs from the request");
  }
}

/** Echoes with the number of the call at both ends, which identifies its response. */
function stampedEcho(length: number): Call {
  const body = echoBytes(length);
  const stamp = new DataView(body.buffer);
  return async (client, i) => {
    stamp.setUint32(0, i);
    stamp.setUint32(length - 4, i);
    const got = await client.echo!(body);
    const view = new DataView(got.buffer, got.byteOffset, got.byteLength);
    const at = length > 8 ? 4 + i * 4_093 % (length - 8) : 0;
    if (
      got.length !== length || view.getUint32(0) !== i || view.getUint32(length - 4) !== i ||
      got[at] !== body[at]
    ) throw new Error("Wrong response: an echo differs from the request");
  };
}

/** Texts with the number of the call at both ends, which identifies its response. */
function stampedText(length: number): Call {
  const STAMP = 10;
  const middle = "The quick brown fox jumps over the lazy dog. ".repeat(length / 45 + 1).slice(
    2 * STAMP,
    length,
  );
  return async (client, i) => {
    const stamp = String(i).padStart(STAMP, "0");
    const text = stamp + middle + stamp;
    if (await client.text!(text) !== text) throw new Error("Wrong response: a text differs from the request");
  };
}

/** One record is compared completely, a different one for each call. */
async function checkRecords(client: PeerClient, count: number, i: number): Promise<void> {
  const records = await client.records!(count);
  const [got, sent] = [records[i % count], recordOf(i % count)];
  const same = got !== undefined && got.id === sent.id && got.name === sent.name &&
    got.email === sent.email &&
    got.active === sent.active && got.score === sent.score;
  if (!same || records.length !== count) throw new Error("Wrong response: a record differs");
}

/** Runs sequential streams. Counts items, and checks the clock every thousand items. */
async function takeStreams(client: PeerClient, { items, bytes }: Load, meter: Meter): Promise<void> {
  while (!meter.ended) {
    let taken = 0;
    await client.stream!(items, bytes, (first, length) => {
      if (first !== firstByte(taken) || length !== bytes) {
        throw new Error(`Wrong item: ${taken} of a stream has ${length} bytes and begins with ${first}`);
      }
      taken++;
      meter.count(1);
      if (taken % 1_000 === 0) meter.checkClock();
    });
    meter.checkClock();
    if (taken !== items) throw new Error(`Wrong stream: ${taken} items instead of ${items}`);
  }
}
