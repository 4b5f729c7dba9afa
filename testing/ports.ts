// The ports of a simulated host: its listeners and HTTP handlers.

import type { Conn, Listener } from "../transport/conn.ts";
import type { SimConn } from "./sim_conn.ts";

/** Handles HTTP requests, like a handler of `Deno.serve`. */
export type HttpHandler = (request: Request) => Response | Promise<Response>;

export const LAST_PORT = 65_535;
/** The first of the ports that are assigned automatically. */
const FIRST_FREE_PORT = 49_152;

/** Accepts the connections to one port. */
class SimListener implements Listener {
  readonly port: number;
  readonly #backlog: SimConn[] = [];
  readonly #closed: () => void;
  readonly #accepting: ((conn: Conn | null) => void)[] = [];
  #open = true;

  constructor(port: number, closed: () => void) {
    this.port = port;
    this.#closed = closed;
  }

  accept(): Promise<Conn | null> {
    const conn = this.#backlog.shift();
    if (conn !== undefined || !this.#open) return Promise.resolve(conn ?? null);
    return new Promise((resolve) => void this.#accepting.push(resolve));
  }

  /** Adds a connection that was dialed. */
  enqueue(conn: SimConn): void {
    const accept = this.#accepting.shift();
    if (accept !== undefined) accept(conn);
    else this.#backlog.push(conn);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#closed();
    for (const conn of this.#backlog.splice(0)) conn.close();
    for (const accept of this.#accepting.splice(0)) accept(null);
  }
}

/** The ports of a host that others can connect to. */
export class Ports {
  readonly listeners: Map<number, SimListener> = new Map();
  readonly handlers: Map<number, HttpHandler> = new Map();
  readonly #host: string;
  #next = FIRST_FREE_PORT;

  constructor(host: string) {
    this.#host = host;
  }

  /** An unused port. */
  next(): number {
    do {
      this.#next = this.#next < LAST_PORT ? this.#next + 1 : FIRST_FREE_PORT;
    } while (this.#isUsed(this.#next));
    return this.#next;
  }

  /** @throws {Deno.errors.AddrInUse} If the port is in use */
  listen(port: number): Listener {
    this.#checkFree(port);
    const listener = new SimListener(port, () => this.listeners.delete(port));
    this.listeners.set(port, listener);
    return listener;
  }

  /** @throws {Deno.errors.AddrInUse} If the port is in use */
  serve(port: number, handler: HttpHandler): Disposable {
    this.#checkFree(port);
    this.handlers.set(port, handler);
    return { [Symbol.dispose]: () => void this.handlers.delete(port) };
  }

  #checkFree(port: number): void {
    if (this.#isUsed(port)) throw new Deno.errors.AddrInUse(`port ${port} of ${this.#host} is in use`);
  }

  #isUsed(port: number): boolean {
    return this.listeners.has(port) || this.handlers.has(port);
  }
}
