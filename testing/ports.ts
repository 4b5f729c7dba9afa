// The ports of one simulated host: who listens where, and who answers HTTP there.

import type { Conn, Listener } from "../transport/conn.ts";
import type { SimConn } from "./sim_conn.ts";

/** Answers HTTP requests, as what `Deno.serve` takes does. */
export type HttpHandler = (request: Request) => Response | Promise<Response>;

export const LAST_PORT = 65_535;
/** From here on, ports are given to whoever does not care which. */
const FIRST_FREE_PORT = 49_152;

/** Connections that were made to a port and wait to be accepted. */
class SimListener implements Listener {
  readonly port: number;
  readonly #waiting: SimConn[] = [];
  readonly #closed: () => void;
  readonly #accepting: ((conn: Conn | null) => void)[] = [];
  #open = true;

  constructor(port: number, closed: () => void) {
    this.port = port;
    this.#closed = closed;
  }

  accept(): Promise<Conn | null> {
    const conn = this.#waiting.shift();
    if (conn !== undefined || !this.#open) return Promise.resolve(conn ?? null);
    return new Promise((resolve) => void this.#accepting.push(resolve));
  }

  /** Somebody has dialled. */
  take(conn: SimConn): void {
    const accept = this.#accepting.shift();
    if (accept !== undefined) accept(conn);
    else this.#waiting.push(conn);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#closed();
    for (const conn of this.#waiting.splice(0)) conn.close();
    for (const accept of this.#accepting.splice(0)) accept(null);
  }
}

/** What a host is to those who connect to it. */
export class Ports {
  readonly listeners: Map<number, SimListener> = new Map();
  readonly handlers: Map<number, HttpHandler> = new Map();
  readonly #host: string;
  #next = FIRST_FREE_PORT;

  constructor(host: string) {
    this.#host = host;
  }

  /** A port that nobody listens on. */
  next(): number {
    do {
      this.#next = this.#next < LAST_PORT ? this.#next + 1 : FIRST_FREE_PORT;
    } while (this.#isTaken(this.#next));
    return this.#next;
  }

  /** @throws {Deno.errors.AddrInUse} If the port is taken */
  listen(port: number): Listener {
    this.#checkFree(port);
    const listener = new SimListener(port, () => this.listeners.delete(port));
    this.listeners.set(port, listener);
    return listener;
  }

  /** @throws {Deno.errors.AddrInUse} If the port is taken */
  serve(port: number, handler: HttpHandler): Disposable {
    this.#checkFree(port);
    this.handlers.set(port, handler);
    return { [Symbol.dispose]: () => void this.handlers.delete(port) };
  }

  #checkFree(port: number): void {
    if (this.#isTaken(port)) throw new Deno.errors.AddrInUse(`port ${port} of ${this.#host} is taken`);
  }

  #isTaken(port: number): boolean {
    return this.listeners.has(port) || this.handlers.has(port);
  }
}
