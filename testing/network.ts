// A simulated network in one process: named hosts, and the faults between them.

import type { Link, SimConn } from "./sim_conn.ts";
import { SimHost } from "./host.ts";
import { checkConditions, type Conditions, type Path } from "./path.ts";
import { seeded } from "./seeded_random.ts";
import { Trace } from "./trace.ts";
import { Wiring } from "./wiring.ts";

/** The name of a host, or several names. */
export type Hosts = string | readonly string[];

/** Options of {@linkcode SimNetwork}. */
export interface SimNetworkOptions {
  /**
   * Seed of all random delays, splits and refusals, an integer. The same seed repeats them.
   *
   * @default {1}
   */
  seed?: number;
  /**
   * Number of events that the trace keeps, from 1.
   *
   * @default {200}
   */
  traceLimit?: number;
}

/** A host's name as it appears in addresses. */
const NAME = /^[0-9a-z]([0-9a-z.-]*[0-9a-z])?$/;

/**
 * A network without sockets. Servers and clients use one of its hosts as their `network` option and behave as they would over
 * TCP, with faults that a test controls and that a seed repeats.
 *
 * Without conditions nothing takes time, so tests can use it as it is. Delays use the global timers; {@linkcode SimTime} and
 * {@linkcode simulate} let them pass at once.
 *
 * @example A server that is cut off
 * ```ts
 * import { connect, RpcError, Server } from "@troodon/rpc";
 * import { SimNetwork } from "@troodon/rpc/testing";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * const net = new SimNetwork();
 * await using server = new Server({ network: net.host("orders") }).register("Orders", { count: () => 3 });
 * await server.listen("tcp@orders:9000");
 *
 * await using client = await connect("tcp@orders:9000", { network: net.host("shop") });
 * assertEquals(await client.call("Orders.count"), 3);
 *
 * net.partition("shop", "orders");
 * await assertRejects(() => client.call("Orders.count", null, { timeout: 20 }), RpcError);
 * net.heal();
 * assertEquals(await client.call("Orders.count"), 3);
 * ```
 */
export class SimNetwork {
  /** The seed of its random decisions. */
  readonly seed: number;
  readonly #trace: Trace;
  readonly #wiring: Wiring;
  readonly #hosts = new Map<string, SimHost>();

  /**
   * Creates a network without hosts.
   *
   * @param options The seed, and the length of the trace
   * @throws {RangeError} If the seed or the limit is not an integer in its range
   */
  constructor(options: SimNetworkOptions = {}) {
    const { seed = 1, traceLimit = 200 } = options;
    if (!Number.isSafeInteger(seed)) throw new RangeError(`Cannot use seed ${seed}: expected an integer`);
    if (!(Number.isSafeInteger(traceLimit) && traceLimit > 0)) {
      throw new RangeError(`Cannot use traceLimit ${traceLimit}: expected an integer from 1`);
    }
    this.seed = seed;
    this.#trace = new Trace(traceLimit);
    this.#wiring = new Wiring(this.#trace, seeded(seed));
  }

  /**
   * The host of that name, created at first use.
   *
   * @param name The name in addresses: lowercase letters, digits, dots and hyphens
   * @returns The same host for the same name
   * @throws {TypeError} If the name is invalid
   */
  host(name: string): SimHost {
    let host = this.#hosts.get(name);
    if (host !== undefined) return host;
    if (!NAME.test(name)) {
      throw new TypeError(
        `Cannot create host ${JSON.stringify(name)}: expected lowercase letters, digits, dots and hyphens`,
      );
    }
    this.#hosts.set(name, host = new SimHost(name, this.#wiring));
    return host;
  }

  /**
   * Sets the conditions of paths from now on: of those between all hosts, or of those from some hosts to others. Conditions of
   * specific paths override those of all; omitted conditions do not change.
   *
   * @param conditions Delays and other conditions
   * @param from The hosts where the paths start; omitted = all paths
   * @param to The hosts where the paths end. The opposite direction is a separate path
   * @throws {TypeError} If a condition has the wrong type, a host does not exist, or `to` is missing
   * @throws {RangeError} If a condition is out of its range
   */
  shape(conditions: Conditions, from?: Hosts, to?: Hosts): void {
    const checked = checkConditions(conditions);
    if (from === undefined) {
      this.#wiring.conditions = { ...this.#wiring.conditions, ...checked };
      return;
    }
    if (to === undefined) {
      throw new TypeError("Cannot shape paths: expected the hosts that they lead to (to)");
    }
    for (const path of this.#paths(from, to)) path.conditions = { ...path.conditions, ...checked };
  }

  /**
   * Partitions hosts from others, in both directions. Nothing is lost: data in flight, data written meanwhile and pending
   * connections arrive after {@linkcode SimNetwork.heal}, as TCP retransmits what was not received.
   *
   * @param hosts One side
   * @param others The other side; omitted = all other existing hosts
   * @throws {TypeError} If a host does not exist
   */
  partition(hosts: Hosts, others?: Hosts): void {
    const side = list(hosts);
    const rest = others ?? [...this.#hosts.keys()].filter((name) => !side.includes(name));
    this.note(`partition of ${side.join(", ")} from ${list(rest).join(", ")}`);
    for (const path of [...this.#paths(side, rest), ...this.#paths(rest, side)]) path.stall();
  }

  /**
   * Blocks one direction until {@linkcode SimNetwork.heal}, like a partition whose opposite direction works.
   *
   * @param from The hosts whose data does not arrive
   * @param to The hosts that receive nothing from them
   * @throws {TypeError} If a host does not exist
   */
  stall(from: Hosts, to: Hosts): void {
    this.note(`stall of ${list(from).join(", ")} → ${list(to).join(", ")}`);
    for (const path of this.#paths(from, to)) path.stall();
  }

  /** Ends all partitions and stalls. Half-open and cut connections do not recover. */
  heal(): void {
    this.note("heal");
    for (const path of this.#wiring.paths) path.open();
  }

  /**
   * Resets connections: both ends are lost at once.
   *
   * @param hosts The hosts at one end; omitted = all
   * @param others The hosts at the other end; omitted = any
   * @returns The number of connections
   * @throws {TypeError} If a host does not exist
   */
  cut(hosts?: Hosts, others?: Hosts): number {
    const links = this.#links(hosts, others);
    for (const { name, ends } of links) {
      this.note(`${name} cut`);
      for (const end of ends) end.lose();
    }
    return links.length;
  }

  /**
   * Makes connections half-open: one side sees them lost, the other notices nothing and its data is dropped. This is what
   * happens when a host loses power and restarts, or a firewall forgets its state. New connections are not affected.
   *
   * @param believing The hosts that notice nothing
   * @param others The hosts at the other ends; omitted = any
   * @returns The number of connections
   * @throws {TypeError} If a host does not exist
   */
  halfOpen(believing: Hosts, others?: Hosts): number {
    const links = this.#links(believing, others);
    const names = list(believing);
    for (const { name, ends } of links) {
      this.note(`${name} half-open at ${names.join(", ")}`);
      for (const end of ends) end.isolate();
      for (const end of ends) if (!names.includes(end.host)) end.lose();
    }
    return links.length;
  }

  /** Number of connections with an open end: 0 after everything was closed. */
  get connections(): number {
    return this.#wiring.links.size;
  }

  /** The last events: dials, bytes, faults and notes, one on each line, with the time since the network was created. */
  get trace(): string {
    return this.#trace.toString();
  }

  /**
   * Adds a line to the trace.
   *
   * @param event What happened
   */
  note(event: string): void {
    this.#trace.add(event);
  }

  #paths(from: Hosts, to: Hosts): Path[] {
    const wiring = this.#wiring;
    for (const name of [...list(from), ...list(to)]) wiring.portsOf(name);
    return list(from).flatMap((a) => list(to).filter((b) => a !== b).map((b) => wiring.path(a, b)));
  }

  #links(hosts: Hosts | undefined, others: Hosts | undefined): Link[] {
    for (const name of [...list(hosts ?? []), ...list(others ?? [])]) this.#wiring.portsOf(name);
    const isOf = (end: SimConn, names: Hosts | undefined) =>
      names === undefined || list(names).includes(end.host);
    return [...this.#wiring.links].filter(({ ends: [a, b] }) =>
      isOf(a, hosts) && isOf(b, others) || isOf(b, hosts) && isOf(a, others)
    );
  }
}

function list(hosts: Hosts): readonly string[] {
  return typeof hosts === "string" ? [hosts] : hosts;
}
