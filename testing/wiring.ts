// The shared state of a simulated network's hosts: ports, paths and the trace.

import type { Link } from "./sim_conn.ts";
import { type Conditions, Path } from "./path.ts";
import type { Ports } from "./ports.ts";
import type { Trace } from "./trace.ts";

/** The shared state of a simulated network. */
export class Wiring {
  readonly trace: Trace;
  /** The ports of the hosts, by host name. */
  readonly ports: Map<string, Ports> = new Map();
  /** Connections with an open end. */
  readonly links: Set<Link> = new Set();
  /** The conditions of all paths between hosts. */
  conditions: Conditions = {};
  readonly #random: () => number;
  readonly #paths = new Map<string, Path>();
  #dials = 0;

  constructor(trace: Trace, random: () => number) {
    this.trace = trace;
    this.#random = random;
  }

  /** The name of the next connection in the trace. */
  nextName(): string {
    return `#${++this.#dials}`;
  }

  /**
   * The ports of a host.
   *
   * @throws {TypeError} If the host does not exist
   */
  portsOf(name: string): Ports {
    const ports = this.ports.get(name);
    if (ports !== undefined) return ports;
    throw new TypeError(`Unknown host ${JSON.stringify(name)}: create it with network.host()`);
  }

  /** The path from one host to another. The path of a host to itself has only its own conditions. */
  path(from: string, to: string): Path {
    const key = `${from} ${to}`;
    let path = this.#paths.get(key);
    if (path === undefined) {
      const common = () => from === to ? {} : this.conditions;
      this.#paths.set(key, path = new Path(from, to, this.trace, this.#random, common));
    }
    return path;
  }

  /** All paths that were used or changed. */
  get paths(): Iterable<Path> {
    return this.#paths.values();
  }
}
