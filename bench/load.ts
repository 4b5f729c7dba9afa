// A load as a client process runs it: a closed loop, in which every answer is checked and the next call begins when
// one has ended, warmed up first, then measured. side.ts runs it.

import process from "node:process";
import { Histogram } from "./histogram.ts";
import type { Peer, PeerClient } from "./peer.ts";
import { firstByte } from "./peers/items.mjs";
import type { Load } from "./workloads.ts";

/** What a load came to. */
export interface Outcome {
  /** Calls, or items of streams, that ended in the measured time. */
  readonly calls: number;
  /** The measured time, in s. */
  readonly seconds: number;
  /** Times of single calls. */
  readonly times: Histogram;
}

/** Beyond that many calls in flight only every eighth is timed: asking for the time costs a tenth of a small call. */
const ALL_TIMED = 8;
/**
 * A load is warm when it has run for its time, and this share of it on a core: on a busy machine the compiler is not
 * done before. After three times its time it is taken for warm: some peers mostly wait.
 */
const WARM_SHARE = 0.3;
const WARM_LONGEST = 3;
/** How often that is looked at, in ms. */
const WARM_LOOK = 20;
/** Connections that are opened at once. */
const OPENING = 16;
const ADDEND = 7;

/** The time while a load runs, and what was counted in it. */
class Meter {
  readonly times = new Histogram();
  readonly #warm: number;
  readonly #length: number;
  readonly #began: () => void;
  readonly #start = performance.now();
  readonly #cpuAtStart = process.cpuUsage();
  #lookAt: number;
  #begin = 0;
  #end = 0;
  #calls = 0;

  constructor({ warm, seconds }: Load, began: () => void) {
    this.#warm = warm * 1_000;
    this.#length = seconds * 1_000;
    this.#began = began;
    this.#lookAt = this.#start + this.#warm;
  }

  get over(): boolean {
    return this.#end > 0;
  }

  /** Counts calls that have ended. */
  count(calls: number): void {
    if (this.#begin > 0 && this.#end === 0) this.#calls += calls;
  }

  /** Takes the time of a call that began at `since`; returns what time it is. */
  timed(since: number): number {
    const now = this.look();
    if (this.#begin > 0 && since >= this.#begin && this.#end === 0) this.times.add((now - since) * 1_000);
    return now;
  }

  /** Looks at the time, for whether to begin or to end; returns it. */
  look(): number {
    const now = performance.now();
    if (this.#begin === 0) {
      if (now >= this.#lookAt && this.#isWarm(now)) {
        this.#began();
        this.#begin = performance.now();
      }
    } else if (this.#end === 0 && now - this.#begin >= this.#length) {
      this.#end = now;
    }
    return now;
  }

  #isWarm(now: number): boolean {
    this.#lookAt = now + WARM_LOOK;
    const { user, system } = process.cpuUsage(this.#cpuAtStart);
    return (user + system) / 1_000 >= this.#warm * WARM_SHARE ||
      now - this.#start >= this.#warm * WARM_LONGEST;
  }

  outcome(): Outcome {
    return { calls: this.#calls, seconds: (this.#end - this.#begin) / 1_000, times: this.times };
  }
}

/** One call of the load, with its answer checked. */
type Call = (client: PeerClient, i: number) => Promise<void>;

/**
 * Opens the connections of a load.
 *
 * @returns The clients that call; those that stay idle are held by their connections
 */
export async function openAll(peer: Peer, port: number, load: Load, count: number): Promise<PeerClient[]> {
  const clients: PeerClient[] = [];
  while (clients.length < count) {
    const some = Math.min(OPENING, count - clients.length);
    clients.push(...await Promise.all(Array.from({ length: some }, () => peer.connect(port, load))));
  }
  return clients;
}

/**
 * Runs a load to its end.
 *
 * @param began Called when it has warmed up and is measured from now on
 * @returns undefined if the peer cannot do that
 * @throws {Error} If any answer is wrong
 */
export async function runLoad(
  clients: readonly PeerClient[],
  load: Load,
  began: () => void,
): Promise<Outcome | undefined> {
  const meter = new Meter(load, began);
  if (load.kind === "stream") {
    if (clients[0]?.stream === undefined) return undefined;
    await takeStreams(clients[0], load, meter);
    return meter.outcome();
  }
  if (load.kind === "echo") {
    if (clients[0]?.echo === undefined) return undefined;
    await checkWholeEcho(clients[0], load.bytes);
  } else {
    await checkSum(clients[0]!, 1);
  }
  await Promise.all(clients.flatMap((client, c) => {
    if (client.drive !== undefined) return [drive(client, load, meter)];
    return Array.from({ length: load.outstanding }, (_, slot) => {
      const call: Call = load.kind === "echo" ? stampedEcho(load.bytes) : checkSum;
      return keepCalling(client, call, c * load.outstanding + slot, load, meter);
    });
  }));
  return meter.outcome();
}

function timesEvery({ connections, outstanding }: Load): number {
  return connections * outstanding > ALL_TIMED ? 8 : 1;
}

async function keepCalling(client: PeerClient, call: Call, first: number, load: Load, meter: Meter) {
  const every = timesEvery(load);
  let since = performance.now();
  for (let i = first; !meter.over; i++) {
    const timed = i % every === 0;
    if (timed && every > 1) since = performance.now();
    await call(client, i);
    meter.count(1);
    if (timed) since = meter.timed(since);
  }
}

async function drive(client: PeerClient, load: Load, meter: Meter): Promise<void> {
  const every = timesEvery(load);
  const calls = Array.from({ length: load.outstanding }, (_, slot) => slot);
  const since = calls.map(() => performance.now());
  await client.drive!(load, (slot) => {
    meter.count(1);
    const call = calls[slot]!++;
    if (call % every === 0) since[slot] = meter.timed(since[slot]!);
    if (every > 1 && (call + 1) % every === 0) since[slot] = performance.now();
    return !meter.over;
  });
}

async function checkSum(client: PeerClient, i: number): Promise<void> {
  const sum = await client.sum(i, ADDEND);
  if (sum !== i + ADDEND) throw new Error(`Wrong answer: ${i} + ${ADDEND} came out as ${sum}`);
}

function echoBytes(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => i * 31 & 255);
}

async function checkWholeEcho(client: PeerClient, length: number): Promise<void> {
  const sent = echoBytes(length);
  const got = await client.echo!(sent);
  if (got.length !== length || got.some((byte, i) => byte !== sent[i])) {
    throw new Error("Wrong answer: an echo is not what was sent");
  }
}

/** Echoes with the number of the call at both ends, so that each answer is seen to be its own. */
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
    ) throw new Error("Wrong answer: an echo is not what was sent");
  };
}

/** One stream after the other. What is counted are items, and the time is looked at every thousand of them. */
async function takeStreams(client: PeerClient, { items, bytes }: Load, meter: Meter): Promise<void> {
  while (!meter.over) {
    let taken = 0;
    await client.stream!(items, bytes, (first, length) => {
      if (first !== firstByte(taken) || length !== bytes) {
        throw new Error(`Wrong item: ${taken} of a stream has ${length} bytes and begins with ${first}`);
      }
      taken++;
      meter.count(1);
      if (taken % 1_000 === 0) meter.look();
    });
    meter.look();
    if (taken !== items) throw new Error(`Wrong stream: ${taken} items came of ${items}`);
  }
}
