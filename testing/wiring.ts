// What the hosts of one simulated network share: who there is, the ways between them, and what happened.

import type { Link } from "./sim_conn.ts";
import { type Conditions, Path } from "./path.ts";
import type { Ports } from "./ports.ts";
import type { Trace } from "./trace.ts";

/** The inside of a network. */
export class Wiring {
  readonly trace: Trace;
  /** The hosts, by their names. */
  readonly ports: Map<string, Ports> = new Map();
  /** Connections of which an end is open. */
  readonly links: Set<Link> = new Set();
  /** The conditions of all ways between hosts. */
  conditions: Conditions = {};
  readonly #random: () => number;
  readonly #paths = new Map<string, Path>();
  #dials = 0;

  constructor(trace: Trace, random: () => number) {
    this.trace = trace;
    this.#random = random;
  }

  /** What the next connection is called in the trace. */
  nextName(): string {
    return `#${++this.#dials}`;
  }

  /**
   * The ports of a host.
   *
   * @throws {TypeError} If there is no such host
   */
  portsOf(name: string): Ports {
    const ports = this.ports.get(name);
    if (ports !== undefined) return ports;
    throw new TypeError(`There is no host ${JSON.stringify(name)}: make it with network.host()`);
  }

  /** The way from one host to another. To itself it has no conditions but its own. */
  path(from: string, to: string): Path {
    const key = `${from} ${to}`;
    let path = this.#paths.get(key);
    if (path === undefined) {
      const common = () => from === to ? {} : this.conditions;
      this.#paths.set(key, path = new Path(from, to, this.trace, this.#random, common));
    }
    return path;
  }

  /** All ways that have been used or changed. */
  get paths(): Iterable<Path> {
    return this.#paths.values();
  }
}
