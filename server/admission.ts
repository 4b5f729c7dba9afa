// From an accepted Conn to a Session, or to a refusal that says why: the caps, the HTTP head, the handshake and the
// time all of it may take. Owned by a Server.

import type { Lookup } from "../call/dispatch.ts";
import { RpcError } from "../call/error.ts";
import { KeyCache } from "../codec/key_cache.ts";
import { Alarm, type Sleeper } from "../transport/alarm.ts";
import type { Conn } from "../transport/conn.ts";
import { acceptHandshake, type AcceptTerms, refuse } from "../transport/handshake.ts";
import { acceptHttp, type FetchHandler } from "../transport/http.ts";
import type { SessionLimits } from "../transport/limits.ts";
import { LineReader } from "../transport/line_reader.ts";
import { LINGER_MS, lingerClose } from "../transport/linger.ts";
import { textOf } from "../transport/outbox.ts";
import { Session } from "../transport/session.ts";
import type { Tally } from "../transport/tally.ts";

/** What decides who comes in, and what for. */
export interface AdmissionOptions {
  readonly terms: AcceptTerms;
  readonly limits: SessionLimits;
  readonly tally: Tally;
  readonly lookup: Lookup;
  /** Answers what is asked on an HTTP port beside RPC. */
  readonly fetch: FetchHandler;
  /** Connections at once, those in their handshake included. */
  readonly maxConnections: number;
  /** How long a handshake may take, in ms. */
  readonly handshakeTimeout: number;
  readonly mapError?: (error: unknown) => RpcError | undefined;
  readonly log?: (message: string, error?: unknown) => void;
}

/** A Conn whose handshake is not done. */
interface Arrival {
  readonly conn: Conn;
  /** Set where the Conn begins with the HTTP head that leads to RPC at this path. */
  readonly httpPath: string | undefined;
  /** When it is to be done, on the clock of `performance.now()`. */
  due: number;
  /** Why it was turned away before it had said what it wants. */
  refusal: RpcError | undefined;
  /** Resolves when its Conn has been closed from here. */
  readonly cut: PromiseWithResolvers<void>;
}

/** The connections of a server, from their first byte to their end. */
export class Admission implements Sleeper {
  readonly #options: AdmissionOptions;
  readonly #names = new KeyCache();
  /** Who is in a handshake, longest first, until when they have gone. */
  readonly #arriving = new Map<Arrival, Promise<void>>();
  readonly #sessions = new Set<Session>();
  readonly #alarm: Alarm = new Alarm(this);
  #accepted = 0;
  #refused = 0;
  #closed = false;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** The connections whose handshake is done. */
  get sessions(): ReadonlySet<Session> {
    return this.#sessions;
  }

  /** Handshakes that succeeded so far. */
  get accepted(): number {
    return this.#accepted;
  }

  /** Connections that were refused or went wrong before their first call. */
  get refused(): number {
    return this.#refused;
  }

  /**
   * Takes a Conn; returns at once.
   *
   * @param httpPath Where the Conn begins with an HTTP head: the path of RPC
   */
  take(conn: Conn, httpPath: string | undefined): void {
    if (this.#closed) return conn.close();
    const due = performance.now() + this.#options.handshakeTimeout;
    const arrival: Arrival = {
      conn,
      httpPath,
      due,
      refusal: undefined,
      cut: Promise.withResolvers(),
    };
    this.#arriving.set(arrival, this.#admit(arrival));
    this.#alarm.by(due);
  }

  /** Turns away whoever is still in a handshake; resolves when they are gone. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const arrival of this.#arriving.keys()) {
      if (arrival.refusal !== undefined) {
        cut(arrival);
        continue;
      }
      arrival.refusal = new RpcError("unavailable", "The server is shutting down");
      refuse(arrival.conn, arrival.refusal).catch(() => {}).then(() => cut(arrival));
    }
    await Promise.all(this.#arriving.values());
    this.#alarm.stop();
  }

  /** Refuses handshakes that take too long: told why first, cut off if they do not go by themselves. */
  onAlarm(now: number): void {
    let next = Infinity;
    for (const arrival of this.#arriving.keys()) {
      if (arrival.due <= now) this.#late(arrival);
      next = Math.min(next, arrival.due);
    }
    this.#alarm.by(next);
  }

  #late(arrival: Arrival): void {
    const { conn, refusal } = arrival;
    arrival.due = refusal === undefined ? arrival.due + LINGER_MS : Infinity;
    if (refusal !== undefined) return cut(arrival);
    const { handshakeTimeout } = this.#options;
    const late = new RpcError("deadline_exceeded", `The handshake took longer than ${handshakeTimeout} ms`);
    arrival.refusal = late;
    refuse(conn, late).then(() => conn.closeWrite()).catch(() => conn.close());
  }

  async #admit(arrival: Arrival): Promise<void> {
    const { conn } = arrival;
    const { log } = this.#options;
    let entered = false;
    try {
      entered = await this.#enter(arrival);
      if (!entered && arrival.refusal !== undefined) throw arrival.refusal;
    } catch (cause) {
      this.#refused++;
      const error = arrival.refusal ?? cause;
      if (error instanceof RpcError) log?.(`Refused ${conn.peer}: ${error.message}`, error.cause);
      else log?.(`${conn.peer} went away during the handshake: ${textOf(error)}`);
    }
    if (entered) return;
    // What is left has a time limit of its own.
    arrival.due = Infinity;
    await lingerClose(conn);
    this.#arriving.delete(arrival);
  }

  /** Whether a session was made of the Conn. */
  async #enter(arrival: Arrival): Promise<boolean> {
    const { conn, httpPath } = arrival;
    const { terms, limits, tally, lookup, mapError, log, fetch, maxConnections } = this.#options;
    if (this.#sessions.size + this.#arriving.size >= maxConnections) {
      const error = new RpcError("resource_exhausted", `More than ${maxConnections} connections`);
      await refuse(conn, error);
      throw error;
    }
    const reader = new LineReader(conn);
    if (httpPath !== undefined && !await acceptHttp(conn, reader, httpPath, fetch)) return false;
    const agreement = await acceptHandshake(conn, reader, terms, arrival.cut.promise);
    if (agreement === null || arrival.refusal !== undefined) return false;
    this.#accepted++;
    const session: Session = new Session(conn, {
      agreement,
      dialled: false,
      prefix: reader.rest(),
      limits,
      tally,
      names: this.#names,
      lookup,
      mapError,
      log,
      ended: () => this.#sessions.delete(session),
    });
    this.#arriving.delete(arrival);
    this.#sessions.add(session);
    return true;
  }
}

/** Closes the Conn of whoever has been told why. */
function cut({ conn, cut }: Arrival): void {
  conn.close();
  cut.resolve();
}
