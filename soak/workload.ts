// The clients' workload: calls of every kind, each with a unique number and a check of its outcome.

import { type Client, connect, type ConnectOptions, RpcError } from "../mod.ts";
import type { Code } from "../call/error.ts";
import type { Random } from "../tests/support/cbor_random.ts";
import { type Ledger, Verdict } from "./ledger.ts";
import { pause } from "./child.ts";
import { Lateness } from "./meter.ts";

/** Timeout of calls that should not time out, in ms. */
const TIMEOUT = 2_000;
/**
 * How much too early a timeout may be reported, in ms: it is measured from the start of the event loop turn
 * in which the call is made, and turns are long here.
 */
const EARLY = 150;
/** Codes that a lost connection, a stopping server or a full one may cause for any call. */
const LOSS: ReadonlySet<Code> = new Set(["unavailable", "deadline_exceeded", "resource_exhausted"]);

/** Options that detect a lost server quickly and reconnect quickly. */
export const CLIENT: ConnectOptions = {
  timeout: TIMEOUT,
  connectTimeout: 1_000,
  heartbeatInterval: 500,
  heartbeatTimeout: 1_000,
};

/** The parameters of a call. */
interface Plan {
  readonly id: number;
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
  readonly idempotent: boolean;
}

/** The totals of all calls. */
export interface Counts {
  calls: number;
  settled: number;
  /** Calls that may have been executed. */
  sent: number;
  /** Descriptions of invalid outcomes; the first few. */
  readonly wrong: string[];
  wrongs: number;
  /** Number of results and errors, by kind. */
  readonly outcomes: Map<string, number>;
}

/** A kind of call: makes it and checks the result. */
type Kind = (client: Client, plan: Plan, random: Random) => Promise<unknown>;

/** Thrown for an invalid outcome. */
class InvalidOutcome extends Error {}

function expectEqual(got: unknown, expected: unknown): void {
  if (got !== expected) throw new InvalidOutcome(`got ${String(got)}, expected ${String(expected)}`);
}

async function* numbered(id: number, count: number) {
  for (let n = 1; n <= count; n++) yield { id, n };
}

const KINDS: Readonly<Record<string, Kind>> = {
  async echo(client, { id, ...options }) {
    const echo = await client.call<{ id: number; text: string }>(
      "Soak.echo",
      { id, text: `call ${id}` },
      options,
    );
    expectEqual(echo.id, id);
    expectEqual(echo.text, `call ${id}`);
  },
  async once(client, { id, ...options }) {
    expectEqual((await client.call<{ id: number }>("Soak.echo", { id }, options)).id, id);
  },
  async big(client, { id, ...options }, random) {
    const bytes = new Uint8Array(1 + random.below(600_000)).fill(id);
    const echo = await client.call<{ id: number; bytes: Uint8Array }>("Soak.echo", { id, bytes }, options);
    expectEqual(echo.id, id);
    expectEqual(echo.bytes.length, bytes.length);
    expectEqual(echo.bytes.at(-1), id & 255);
  },
  async wait(client, { id, ...options }, random) {
    const echo = await client.call<{ id: number }>("Soak.wait", { id, ms: random.below(40) }, options);
    expectEqual(echo.id, id);
  },
  async late(client, { id, ...options }) {
    await client.call("Soak.wait", { id, ms: 10_000 }, options);
    throw new InvalidOutcome("a call that takes ten seconds was answered");
  },
  async cancel(client, { id, ...options }, random) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), random.below(15));
    try {
      await client.call("Soak.wait", { id, ms: 10_000 }, { ...options, signal: stop.signal });
      throw new InvalidOutcome("a call that takes ten seconds was answered");
    } finally {
      clearTimeout(timer);
    }
  },
  async fail(client, { id, ...options }, random) {
    const code = random.pick(["not_found", "aborted", "data_loss", "internal"] as const);
    try {
      await client.call("Soak.fail", { id, code }, options);
    } catch (error) {
      if (!(error instanceof RpcError) || LOSS.has(error.code)) throw error;
      expectEqual(error.code, code);
      expectEqual(error.message, `Call ${id} fails`);
      return expectEqual((error.details as { id?: number })?.id, id);
    }
    throw new InvalidOutcome("a failing call succeeded");
  },
  async missing(client, { id: _, ...options }) {
    try {
      await client.call("Soak.missing", null, options);
    } catch (error) {
      if (error instanceof RpcError && error.code === "unimplemented") return "never";
      throw error;
    }
    throw new InvalidOutcome("a missing method answered");
  },
  async stream(client, { id, ...options }, random) {
    const count = random.below(200);
    let i = 0;
    for await (const item of client.stream<{ id: number; i: number }>("Soak.up", { id, count }, options)) {
      expectEqual(item.id, id);
      expectEqual(item.i, i++);
    }
    expectEqual(i, count);
  },
  async leave(client, { id, ...options }, random) {
    const last = random.below(60);
    let i = 0;
    for await (
      const item of client.stream<{ id: number; i: number }>("Soak.up", { id, count: 1e6 }, options)
    ) {
      expectEqual(item.id, id);
      expectEqual(item.i, i++);
      if (i > last) return;
    }
    throw new InvalidOutcome("an endless stream ended");
  },
  async sum(client, { id, ...options }, random) {
    const count = 1 + random.below(50);
    const got = await client.call<{ id: number; sum: number }>("Soak.sum", numbered(id, count), options);
    expectEqual(got.id, id);
    expectEqual(got.sum, count * (count + 1) / 2);
  },
  async double(client, { id, ...options }, random) {
    const count = 1 + random.below(30);
    let n = 0;
    const items = client.stream<{ id: number; n: number }>("Soak.double", numbered(id, count), options);
    for await (const item of items) {
      expectEqual(item.id, id);
      expectEqual(item.n, 2 * ++n);
    }
    expectEqual(n, count);
  },
};

/** Frequency of each kind, in percent. */
const MIX: readonly (readonly [string, number])[] = [
  ["echo", 54],
  ["big", 1],
  ["wait", 5],
  ["late", 6],
  ["cancel", 8],
  ["fail", 6],
  ["missing", 3],
  ["stream", 5],
  ["leave", 4],
  ["sum", 5],
  ["double", 3],
];

const CALL_KINDS: readonly string[] = MIX.flatMap(([kind, count]) => Array<string>(count).fill(kind));

/** Makes calls until it is stopped. */
export class Workload {
  readonly counts: Counts = { calls: 0, settled: 0, sent: 0, wrong: [], wrongs: 0, outcomes: new Map() };
  /** How late calls were notified that their deadline had passed, in ms. */
  readonly lateness = new Lateness();
  readonly #ledger: Ledger;
  readonly #random: Random;
  /** A signal that never aborts, shared by many calls. */
  readonly #shared: AbortSignal;
  /** New calls wait for this during a pause. */
  #pause: PromiseWithResolvers<void> | undefined;

  constructor(ledger: Ledger, random: Random, shared: AbortSignal) {
    this.#ledger = ledger;
    this.#random = random;
    this.#shared = shared;
  }

  /** Lets the calls in flight finish, runs `measure`, and continues. */
  async pauseFor(measure: () => Promise<void>): Promise<void> {
    this.#pause = Promise.withResolvers();
    while (this.counts.settled < this.counts.calls) await pause(5);
    await measure();
    this.#pause.resolve();
    this.#pause = undefined;
  }

  /** Makes sequential calls while `running` returns true. */
  async work(client: Client, running: () => boolean, kinds: readonly string[] = CALL_KINDS): Promise<void> {
    while (running()) await this.#makeCall(client, this.#random.pick(kinds));
  }

  /** Repeatedly connects, calls once, and closes. */
  async reconnectRepeatedly(addresses: readonly string[], running: () => boolean): Promise<void> {
    while (running()) {
      try {
        await using client = await connect(this.#random.pick(addresses), CLIENT);
        await this.#makeCall(client, "echo");
      } catch (error) {
        if (!(error instanceof RpcError) || !LOSS.has(error.code)) this.#recordInvalid("connect", error);
      }
      await pause(this.#random.below(40));
    }
  }

  async #makeCall(client: Client, kind: string): Promise<void> {
    await this.#pause?.promise;
    const random = this.#random;
    const idempotent = kind === "echo" && random.below(4) === 0;
    const timeout = kind === "late" ? 5 + random.below(60) : TIMEOUT;
    const signal = random.below(3) === 0 ? this.#shared : undefined;
    const id = this.#ledger.open();
    this.counts.calls++;
    const deadline = performance.now() + timeout;
    let outcome = "succeeded";
    let verdict: number = idempotent ? Verdict.AtLeastOnce : Verdict.Once;
    try {
      const never = await KINDS[kind]!(client, { id, timeout, signal, idempotent }, random) === "never";
      if (never) verdict = Verdict.Never;
    } catch (error) {
      outcome = this.#checkError(kind, error, deadline);
      const notStarted = error instanceof RpcError && error.notStarted;
      verdict = notStarted ? Verdict.Never : idempotent ? Verdict.Any : Verdict.AtMostOnce;
    }
    this.counts.settled++;
    if (verdict !== Verdict.Never) this.counts.sent++;
    this.#ledger.settle(id, verdict);
    const { outcomes } = this.counts;
    outcomes.set(`${kind}: ${outcome}`, (outcomes.get(`${kind}: ${outcome}`) ?? 0) + 1);
    if (performance.now() > deadline) this.lateness.add(performance.now() - deadline);
    // A client without a reachable server must not retry thousands of times per second.
    else if (verdict === Verdict.Never && kind !== "missing") await pause(10);
  }

  /** Checks an error. Returns its code if it is valid. */
  #checkError(kind: string, error: unknown, deadline: number): string {
    if (!(error instanceof RpcError)) return this.#recordInvalid(kind, error);
    const { code } = error;
    if (code === "deadline_exceeded" && performance.now() < deadline - EARLY) {
      return this.#recordInvalid(
        kind,
        `deadline_exceeded ${Math.round(deadline - performance.now())} ms too early`,
      );
    }
    if (LOSS.has(code) || code === "canceled" && kind === "cancel") return code;
    return this.#recordInvalid(kind, error);
  }

  #recordInvalid(kind: string, error: unknown): string {
    this.counts.wrongs++;
    const what = error instanceof RpcError ? `${error.code}: ${error.message}` : String(error);
    if (this.counts.wrong.length < 10) this.counts.wrong.push(`${kind}: ${what}`);
    return "WRONG";
  }
}
