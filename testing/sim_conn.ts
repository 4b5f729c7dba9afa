// The two ends of a simulated connection.

import type { Conn } from "../transport/conn.ts";
import { Flow, type FlowReader } from "./flow.ts";
import { Path } from "./path.ts";
import { Trace } from "./trace.ts";

/** One end: a Conn that behaves like a socket. */
export class SimConn implements Conn, FlowReader {
  readonly peer: string;
  /** The host that this end is on. */
  readonly host: string;
  readonly #in: Flow;
  readonly #out: Flow;
  readonly #onClosed: () => void;
  #closed = false;

  /** @param onClosed Called when this end is closed */
  constructor(host: string, peer: string, incoming: Flow, outgoing: Flow, onClosed: () => void) {
    this.host = host;
    this.peer = peer;
    this.#in = incoming;
    this.#out = outgoing;
    this.#onClosed = onClosed;
    incoming.reader = this;
  }

  read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    return this.#in.read(into);
  }

  write(from: Uint8Array<ArrayBuffer>): Promise<number> {
    return this.#out.write(from);
  }

  closeWrite(): Promise<void> {
    this.#out.end();
    return Promise.resolve();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // Closing with unread input resets the connection, and the peer loses data that it has not read: a kernel's worst case.
    if (this.#in.unread) this.#out.reset(reset());
    else this.#out.end();
    this.#fail(new Error("Connection closed"));
    this.#onClosed();
  }

  /** Closes this end; the other side sees a lost connection. */
  reset(): void {
    if (this.#closed) return;
    this.#out.reset(reset());
    this.close();
  }

  /** Makes this end see a lost connection. */
  lose(): void {
    this.#fail(reset());
  }

  /** Silently cuts this end off: nothing arrives or leaves, and nothing fails. */
  isolate(): void {
    this.#in.lose();
    this.#out.lose();
  }

  onReset(error: Error): void {
    this.#fail(error);
  }

  onUnwanted(): void {
    // Data sent to a closed socket is answered with a reset, once.
    if (this.#closed) this.#out.reset(reset());
  }

  #fail(error: Error): void {
    this.#in.failRead(error);
    this.#out.failWrite(error);
  }
}

/** The two ends of a connection, and operations on both. */
export class Link {
  /** The end of the dialing side, and the end of the accepting side. */
  readonly ends: readonly [SimConn, SimConn];
  readonly name: string;

  /** @param onClosed Called when both ends are closed */
  constructor(name: string, there: Path, back: Path, peers: readonly [string, string], onClosed: () => void) {
    this.name = name;
    const forward = new Flow(there, name);
    const backward = new Flow(back, name);
    let open = 2;
    const closed = () => {
      if (--open > 0) return;
      forward.forget();
      backward.forget();
      onClosed();
    };
    this.ends = [
      new SimConn(there.from, peers[1], backward, forward, closed),
      new SimConn(there.to, peers[0], forward, backward, closed),
    ];
  }
}

/**
 * The two ends of a connection on a path without delays, for tests of code that uses a Conn.
 *
 * @param window Unread bytes in one direction before writes wait
 */
export function connPair(window = 65_536): [Conn, Conn] {
  const trace = new Trace(1);
  const path = (from: string, to: string) => new Path(from, to, trace, () => 0, () => ({ window }));
  const { ends } = new Link("#1", path("a", "b"), path("b", "a"), ["memory@a", "memory@b"], () => {});
  return [ends[0], ends[1]];
}

function reset(): Error {
  return new Deno.errors.ConnectionReset("Connection reset by peer");
}
