// The two ends of one simulated connection.

import type { Conn } from "../transport/conn.ts";
import { Flow, type FlowReader } from "./flow.ts";
import { Path } from "./path.ts";
import { Trace } from "./trace.ts";

/** One end: a Conn with the manners of a socket. */
export class SimConn implements Conn, FlowReader {
  readonly peer: string;
  /** The host that this end is on. */
  readonly host: string;
  readonly #in: Flow;
  readonly #out: Flow;
  readonly #gone: () => void;
  #closed = false;

  /** @param gone Told when this end is closed */
  constructor(host: string, peer: string, incoming: Flow, outgoing: Flow, gone: () => void) {
    this.host = host;
    this.peer = peer;
    this.#in = incoming;
    this.#out = outgoing;
    this.#gone = gone;
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
    // Closing over unread input resets, and the peer loses what it had not read: the worst that a kernel does.
    if (this.#in.unread) this.#out.reset(reset());
    else this.#out.end();
    this.#fail(new Error("Connection closed"));
    this.#gone();
  }

  /** Closes, and the other side finds the connection lost. */
  reset(): void {
    if (this.#closed) return;
    this.#out.reset(reset());
    this.close();
  }

  /** This end finds the connection lost. */
  lose(): void {
    this.#fail(reset());
  }

  /** This end hears and says nothing any more, and finds nothing wrong. */
  isolate(): void {
    this.#in.lose();
    this.#out.lose();
  }

  onReset(error: Error): void {
    this.#fail(error);
  }

  onUnwanted(): void {
    // What is sent to a closed socket is answered with a reset. One that was reset already says nothing.
    if (this.#closed) this.#out.reset(reset());
  }

  #fail(error: Error): void {
    this.#in.failRead(error);
    this.#out.failWrite(error);
  }
}

/** Two ends of one connection, and what is done with both of them at once. */
export class Link {
  /** Of the side that dialled, and of the side that accepted. */
  readonly ends: readonly [SimConn, SimConn];
  readonly name: string;

  /** @param gone Told when both ends are closed */
  constructor(name: string, there: Path, back: Path, peers: readonly [string, string], gone: () => void) {
    this.name = name;
    const outward = new Flow(there, name);
    const homeward = new Flow(back, name);
    let open = 2;
    const closed = () => {
      if (--open > 0) return;
      outward.forget();
      homeward.forget();
      gone();
    };
    this.ends = [
      new SimConn(there.from, peers[1], homeward, outward, closed),
      new SimConn(there.to, peers[0], outward, homeward, closed),
    ];
  }
}

/**
 * Two ends of one connection on a way without delays, for tests of what runs over a Conn.
 *
 * @param window Bytes that wait in one direction before its writer waits
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
