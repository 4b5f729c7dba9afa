// Runs a scenario in simulated time with all randomness from one seed, so that it can be repeated.

import { Replaced } from "./globals.ts";
import { SimNetwork } from "./network.ts";
import { seeded, seededCrypto } from "./seeded_random.ts";
import { SimTime, type SimTimeOptions, type UntilOptions } from "./time.ts";

/** Options of {@linkcode simulate}. */
export interface SimulateOptions extends SimTimeOptions, UntilOptions {
  /**
   * Seed of all randomness, an integer.
   *
   * @default {1}
   */
  seed?: number;
  /**
   * Number of last events that a failure shows, from 1.
   *
   * @default {50}
   */
  traceLimit?: number;
}

/** The tools of a scenario. */
export interface Simulation {
  /** The seed of all randomness. */
  readonly seed: number;
  /** A network with that seed. */
  readonly network: SimNetwork;
  /** Simulated time, which advances whenever the scenario waits. */
  readonly time: SimTime;
  /** A random number from 0 to, but not including, 1, from a source reserved for the scenario. */
  random(): number;
  /**
   * Waits.
   *
   * @param ms The simulated time, in ms
   */
  sleep(ms: number): Promise<void>;
}

/** The error of a failed scenario, with what is needed to repeat it. The original error is the `cause`. */
export class SimulationError extends Error {
  /** Always `"SimulationError"`. */
  override readonly name = "SimulationError";
  /** The seed of the run that failed. */
  readonly seed: number;
  /** The last events of the network. */
  readonly trace: string;

  /**
   * Wraps an error of a scenario.
   *
   * @param cause The error
   * @param seed The seed of the run
   * @param at When it was thrown, in simulated ms
   * @param trace The events before
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

/** Independent random streams of one seed. */
const Stream = { Global: 1, Scenario: 2, Crypto: 3 } as const;

/**
 * Runs a scenario in simulated time, as fast as possible. Whenever it waits for a call or a timer, time jumps to the next event.
 * `Math.random`, `crypto.randomUUID` and `crypto.getRandomValues` use the seed too, so runs with the same seed are identical, as
 * long as the scenario does not wait for anything outside (sockets, files, `crypto.subtle`).
 *
 * @example A heartbeat detects a half-open connection, in a few real ms
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
 *   assertEquals(time.now, 12_000); // pinged after 2 s, since a call waits, and closed 10 s later
 * }, { seed: 7 });
 * ```
 *
 * @typeParam T The return type of the scenario
 * @param scenario The scenario to run
 * @param options The seed, and the limit of simulated time
 * @returns The return value of the scenario
 * @throws {SimulationError} If the scenario throws, leaves a rejection unhandled, takes longer than `limit`, or waits for
 *   something that never happens
 * @throws {RangeError} If the seed is not an integer
 * @throws {TypeError} If time is already simulated
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

/** Catches unhandled rejections, so that background work of a scenario also fails it, with its seed. */
class Unhandled implements Disposable {
  /** Rejects with the first unhandled rejection. */
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
