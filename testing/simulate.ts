// A scenario in simulated time, with everything random drawn from one seed: it goes the same way each time.

import { Replaced } from "./globals.ts";
import { SimNetwork } from "./network.ts";
import { seeded, seededCrypto } from "./seeded_random.ts";
import { SimTime, type SimTimeOptions, type UntilOptions } from "./time.ts";

/** Options of {@linkcode simulate}. */
export interface SimulateOptions extends SimTimeOptions, UntilOptions {
  /**
   * What everything random is drawn from, a whole number.
   *
   * @default {1}
   */
  seed?: number;
  /**
   * How many of the last events a failure shows.
   *
   * @default {50}
   */
  traceLimit?: number;
}

/** What a scenario has at hand. */
export interface Simulation {
  /** What everything random is drawn from. */
  readonly seed: number;
  /** A network with that seed. */
  readonly network: SimNetwork;
  /** The time, which passes by itself whenever the scenario waits. */
  readonly time: SimTime;
  /** A random number from 0 up to but not 1, from a source that nothing else draws from. */
  random(): number;
  /**
   * Waits.
   *
   * @param ms For how long, in simulated ms
   */
  sleep(ms: number): Promise<void>;
}

/** Why a scenario failed, with what it takes to run it again. The error itself is the `cause`. */
export class SimulationError extends Error {
  /** Its name. */
  override readonly name = "SimulationError";
  /** The seed of the run that failed. */
  readonly seed: number;
  /** The last events of the network. */
  readonly trace: string;

  /**
   * Wraps what a scenario threw.
   *
   * @param cause What it threw
   * @param seed The seed of the run
   * @param at When that was, in simulated ms
   * @param trace What happened before
   */
  constructor(cause: unknown, seed: number, at: number, trace: string) {
    const text = cause instanceof Error ? cause.message : String(cause);
    super(`Failed with seed ${seed} at ${(at / 1_000).toFixed(3)} s: ${text}\n\nThe last events:\n${trace}`, {
      cause,
    });
    this.seed = seed;
    this.trace = trace;
  }
}

/** Sources of one seed that must not touch each other. */
const Stream = { Global: 1, Scenario: 2, Crypto: 3 } as const;

/**
 * Runs a scenario in simulated time, as fast as it will go. Whenever it waits for a call or a timer, time jumps to
 * the next thing that happens. `Math.random`, `crypto.randomUUID` and `crypto.getRandomValues` draw from the seed too, so
 * that a run with the same seed goes the same way, as long as the scenario waits for nothing outside (sockets, files,
 * `crypto.subtle`).
 *
 * @example A connection that died without a word is found out by its heartbeat, in a few real ms
 * ```ts
 * import { connect, RpcError, Server } from "@troodon/rpc";
 * import { simulate } from "@troodon/rpc/testing";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * await simulate(async ({ network, time }) => {
 *   const hang = () => new Promise(() => {});
 *   await using server = new Server({ network: network.host("orders") }).register("Orders", { hang });
 *   await server.listen("tcp@orders:9000");
 *   await using client = await connect("tcp@orders:9000", { network: network.host("shop") });
 *
 *   network.halfOpen("shop");
 *   await assertRejects(() => client.call("Orders.hang", null, { timeout: Infinity }), RpcError, "silent");
 *   assertEquals(time.now, 12_000); // pinged after 2 s, since a call waits, and given up 10 s later
 * }, { seed: 7 });
 * ```
 *
 * @typeParam T What the scenario returns
 * @param scenario What to run
 * @param options The seed, and how much simulated time it may take
 * @returns What the scenario returned
 * @throws {SimulationError} If the scenario throws, leaves a rejection unhandled, takes longer than `limit`, or waits
 * for what never comes
 * @throws {RangeError} If the seed is no whole number
 * @throws {TypeError} If time is simulated already
 */
export async function simulate<T>(
  scenario: (simulation: Simulation) => T | Promise<T>,
  options: SimulateOptions = {},
): Promise<T> {
  const { seed = 1, traceLimit = 50 } = options;
  using time = new SimTime(options);
  using _random = new Replaced([
    [Math, "random", seeded(seed, Stream.Global)],
    ...seededCrypto(seeded(seed, Stream.Crypto)),
  ]);
  const network = new SimNetwork({ seed, traceLimit });
  const simulation: Simulation = {
    seed,
    network,
    time,
    random: seeded(seed, Stream.Scenario),
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  };
  using unhandled = new Unhandled();
  const run = (async () => await scenario(simulation))();
  try {
    return await time.until(Promise.race([run, unhandled.rejection]), options);
  } catch (error) {
    throw new SimulationError(error, seed, time.now, network.trace);
  }
}

/** Rejections that nobody handles: what a scenario does on the side fails it too, with its seed. */
class Unhandled implements Disposable {
  /** Rejects with the first of them. */
  readonly rejection: Promise<never>;
  readonly #listen: (event: PromiseRejectionEvent) => void;

  constructor() {
    const { promise, reject } = Promise.withResolvers<never>();
    this.rejection = promise;
    this.#listen = (event) => {
      event.preventDefault();
      reject(event.reason);
    };
    globalThis.addEventListener("unhandledrejection", this.#listen);
  }

  [Symbol.dispose](): void {
    globalThis.removeEventListener("unhandledrejection", this.#listen);
  }
}
