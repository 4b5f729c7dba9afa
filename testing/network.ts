// A network in one process: hosts with names, and everything that can go wrong between them.

import type { Link, SimConn } from "./sim_conn.ts";
import { SimHost } from "./host.ts";
import { checkConditions, type Conditions, type Path } from "./path.ts";
import { seeded } from "./seeded_random.ts";
import { Trace } from "./trace.ts";
import { Wiring } from "./wiring.ts";

/** Hosts by their names: one, or several. */
export type Hosts = string | readonly string[];

/** Options of {@linkcode SimNetwork}. */
export interface SimNetworkOptions {
  /**
   * What delays, splits and refusals are drawn from: the same for the same seed. A whole number.
   *
   * @default {1}
   */
  seed?: number;
  /**
   * How many events the trace keeps.
   *
   * @default {200}
   */
  traceLimit?: number;
}

/** A name that can stand in an address. */
const NAME = /^[0-9a-z]([0-9a-z.-]*[0-9a-z])?$/;

/**
 * A network without sockets. Servers and clients get one of its hosts as their option `network`; what they do is then
 * what they would do over TCP, with faults that a test chooses, the same ones every time for a seed.
 *
 * Without conditions nothing takes time, and tests can use it as they are. Delays use the global timers:
 * {@linkcode SimTime} and {@linkcode simulate} make them pass at once.
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
  /** What it draws from. */
  readonly seed: number;
  readonly #trace: Trace;
  readonly #wiring: Wiring;
  readonly #hosts = new Map<string, SimHost>();

  /**
   * Makes a network without hosts.
   *
   * @param options The seed
   * @throws {RangeError} If the seed or the limit is no whole number
   */
  constructor(options: SimNetworkOptions = {}) {
    const { seed = 1, traceLimit = 200 } = options;
    if (!Number.isSafeInteger(seed)) throw new RangeError(`Cannot use seed ${seed}: expected a whole number`);
    if (!(Number.isSafeInteger(traceLimit) && traceLimit > 0)) {
      throw new RangeError(`Cannot use traceLimit ${traceLimit}: expected a whole number of at least 1`);
    }
    this.seed = seed;
    this.#trace = new Trace(traceLimit);
    this.#wiring = new Wiring(this.#trace, seeded(seed));
  }

  /**
   * A host, which is made if there is none of that name.
   *
   * @param name As it stands in addresses: small letters, digits, dots and hyphens
   * @returns The same one for the same name
   * @throws {TypeError} If that is no name
   */
  host(name: string): SimHost {
    let host = this.#hosts.get(name);
    if (host !== undefined) return host;
    if (!NAME.test(name)) {
      throw new TypeError(
        `Cannot name a host ${JSON.stringify(name)}: expected small letters, digits, dots and hyphens`,
      );
    }
    this.#hosts.set(name, host = new SimHost(name, this.#wiring));
    return host;
  }

  /**
   * Sets what ways are like, from now on: those between all hosts, or those from some hosts to others. What is said of
   * some ways goes before what is said of all; what is left out stays as it was.
   *
   * @param conditions Delays and the like
   * @param from Where these ways begin; left out, everywhere
   * @param to Where these ways end; the way back is another
   * @throws {TypeError} If a condition is of the wrong type, there is no such host, or `to` is missing
   * @throws {RangeError} If a condition is out of its range
   */
  shape(conditions: Conditions, from?: Hosts, to?: Hosts): void {
    const checked = checkConditions(conditions);
    if (from === undefined) {
      this.#wiring.conditions = { ...this.#wiring.conditions, ...checked };
      return;
    }
    if (to === undefined) {
      throw new TypeError("Cannot shape a way without an end: give the hosts it leads to");
    }
    for (const path of this.#paths(from, to)) path.conditions = { ...path.conditions, ...checked };
  }

  /**
   * Lets nothing through between some hosts and others, in both directions. Nothing is lost: what is under way and what
   * is written meanwhile arrives after {@linkcode SimNetwork.heal}, as TCP sends again what was not received, and
   * so do connections that are being made.
   *
   * @param hosts One side
   * @param others The other side; left out, all other hosts that there are
   * @throws {TypeError} If there is no such host
   */
  partition(hosts: Hosts, others?: Hosts): void {
    const side = list(hosts);
    const rest = others ?? [...this.#hosts.keys()].filter((name) => !side.includes(name));
    this.note(`partition of ${side.join(", ")} from ${list(rest).join(", ")}`);
    for (const path of [...this.#paths(side, rest), ...this.#paths(rest, side)]) path.stall();
  }

  /**
   * Lets nothing through in one direction, until {@linkcode SimNetwork.heal}: as a partition with a way back.
   *
   * @param from Who is not heard
   * @param to Who does not hear
   * @throws {TypeError} If there is no such host
   */
  stall(from: Hosts, to: Hosts): void {
    this.note(`stall of ${list(from).join(", ")} → ${list(to).join(", ")}`);
    for (const path of this.#paths(from, to)) path.stall();
  }

  /** Ends all partitions and stalls. Connections that are half-open or cut stay so. */
  heal(): void {
    this.note("heal");
    for (const path of this.#wiring.paths) path.open();
  }

  /**
   * Resets connections: both ends find them lost at once.
   *
   * @param hosts Of these hosts; left out, of all
   * @param others To these; left out, to any
   * @returns How many it were
   * @throws {TypeError} If there is no such host
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
   * Leaves connections half-open: one side finds them lost, the other finds nothing wrong, and what it sends vanishes.
   * As when a host loses its power and comes back, or a firewall forgets. New connections are not touched.
   *
   * @param believing The hosts that find nothing wrong
   * @param others The hosts at the other ends; left out, any
   * @returns How many it were
   * @throws {TypeError} If there is no such host
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

  /** How many connections have an end that is not closed: 0 once everything is put away. */
  get connections(): number {
    return this.#wiring.links.size;
  }

  /** The last events: dials, bytes, faults and notes, a line each, with the time since the network was made. */
  get trace(): string {
    return this.#trace.toString();
  }

  /**
   * Adds a line of one's own to the trace.
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
