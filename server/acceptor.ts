// From an accepted Conn to a Session, or to a refusal that says why: the caps, the HTTP head, the handshake and the
// time all of it may take. Owned by a Server.

import type { Lookup } from "../call/handler.ts";
import { RpcError } from "../call/error.ts";
import { KeyCache } from "../codec/key_cache.ts";
import { Alarm, AlarmClock, type Sleeper } from "../session/alarm_clock.ts";
import type { Identity } from "../call/handler.ts";
import { CallSlots, PeerCallSlots } from "../session/call_slots.ts";
import { CallBodies, MAX_HELD_BYTES } from "../session/call_body.ts";
import type { Conn } from "../transport/conn.ts";
import { type Acceptance, acceptHandshake, type AcceptTerms, refuse } from "../session/handshake.ts";
import { acceptHttp, type FetchHandler } from "../transport/http.ts";
import type { SessionLimits } from "../session/limits.ts";
import { LineReader } from "../transport/line_reader.ts";
import { LINGER_MS, lingerClose } from "../transport/linger.ts";
import { textOf } from "../session/frame_writer.ts";
import { Session } from "../session/session.ts";
import type { LimitCounters } from "../session/limit_counters.ts";
import { TlsFailure } from "../transport/tls_conn.ts";
import { ConnectionCounts, networkOf } from "../transport/connection_counts.ts";
import { RefusalCounts, type RefusalReason } from "../monitoring/refusals.ts";

/** Connections that may be on their way out at once; who is refused beyond them is closed without waiting for its end. */
const MAX_LEAVING = 256;

/** What decides who comes in, and what for. */
export interface AcceptorOptions {
  readonly terms: AcceptTerms;
  readonly limits: SessionLimits;
  readonly counters: LimitCounters;
  readonly lookup: Lookup;
  /** Answers what is asked on an HTTP port beside RPC. */
  readonly fetch: FetchHandler;
  /** Connections at once, those in their handshake included. */
  readonly maxConnections: number;
  /** Of these, those from one IP address; Infinity = as many as there are. */
  readonly maxConnectionsPerPeer: number;
  /** How long a handshake may take, in ms. */
  readonly handshakeTimeout: number;
  /** Handlers at work at once that have not returned at once, of all connections. */
  readonly maxInFlightTotal: number;
  /** How long these may wait for their callers while few places are left, in ms. */
  readonly stallTimeout: number;
  /** Ends handlers without a connection that have waited for their callers for `stallTimeout`. */
  readonly endStalled?: () => void;
  readonly mapError?: (error: unknown) => RpcError | undefined;
  readonly log?: (message: string, error?: unknown) => void;
}

/** A Conn whose handshake is not done. */
interface Arrival extends Acceptance {
  readonly conn: Conn;
  /** Set where the Conn begins with the HTTP head that leads to RPC at this path. */
  readonly httpPath: string | undefined;
  /** What it is counted as, if that is limited. */
  readonly origin: string | undefined;
  /** When it is to be done, or gone, on the clock of `performance.now()`. */
  due: number;
  /** Ends the wait for `authenticate`. */
  readonly giveUp: () => void;
  /** Resolves when nothing is left of it but, maybe, a session. */
  done: Promise<void>;
}

/** The connections of a server, from their first byte to their end. */
export class Acceptor implements Sleeper {
  readonly #options: AcceptorOptions;
  readonly #names = new KeyCache();
  readonly #bodies = new CallBodies(MAX_HELD_BYTES);
  /** The slots of all handlers. */
  readonly slots: CallSlots;
  /** Who is in a handshake, longest first. */
  readonly #waiting = new Set<Arrival>();
  /** Who was refused and has not gone yet. Takes nobody's place. */
  readonly #leaving = new Set<Arrival>();
  readonly #sessions = new Set<Session>();
  readonly #origins: ConnectionCounts;
  readonly #clock = new AlarmClock();
  readonly #alarm: Alarm = new Alarm(this, this.#clock);
  #accepted = 0;
  #closed = false;

  /** Who was turned away, and why. */
  readonly refusals: RefusalCounts = new RefusalCounts();

  constructor(options: AcceptorOptions) {
    this.#options = options;
    this.#origins = new ConnectionCounts(options.maxConnectionsPerPeer);
    this.slots = new CallSlots(options.maxInFlightTotal, () => {
      options.endStalled?.();
      for (const session of this.#sessions) session.endStalled(options.stallTimeout);
    });
  }

  /** The connections whose handshake is done. */
  get sessions(): ReadonlySet<Session> {
    return this.#sessions;
  }

  /** How many are in a handshake. */
  get handshakes(): number {
    return this.#waiting.size;
  }

  /** Handshakes that succeeded so far. */
  get accepted(): number {
    return this.#accepted;
  }

  /**
   * Takes a Conn; returns at once.
   *
   * @param httpPath Where the Conn begins with an HTTP head: the path of RPC
   */
  take(conn: Conn, httpPath: string | undefined): void {
    if (this.#closed) {
      this.refusals.add("closing");
      return conn.close();
    }
    const { maxConnections, maxConnectionsPerPeer, handshakeTimeout } = this.#options;
    const origin = this.#origins.of(conn.peer);
    const arrival = arrivalOf(conn, httpPath, origin, performance.now() + handshakeTimeout);
    if (this.#origins.full(origin)) {
      const most = `More than ${maxConnectionsPerPeer} connections from one address`;
      return this.#turnAway(arrival, "maxConnectionsPerPeer", new RpcError("resource_exhausted", most));
    }
    if (this.#sessions.size + this.#waiting.size >= maxConnections) {
      const full = new RpcError("resource_exhausted", `More than ${maxConnections} connections`);
      // Who keeps a place without using it must not keep those out who would: the longest handshake makes room.
      const longest = this.#waiting.values().find(({ answered }) => !answered);
      if (longest === undefined) return this.#turnAway(arrival, "maxConnections", full);
      this.#refuse(longest, "maxConnections", full);
    }
    this.#waiting.add(arrival);
    this.#origins.add(origin);
    this.#alarm.by(arrival.due);
    arrival.done = this.#admit(arrival);
  }

  /** Turns away whoever is still in a handshake; resolves when they are gone. */
  async close(): Promise<void> {
    this.#closed = true;
    this.slots.close();
    const reason = new RpcError("unavailable", "The server is shutting down");
    for (const arrival of [...this.#waiting]) {
      const told = this.#refuse(arrival, "closing", reason);
      told?.catch(() => {}).then(() => cut(arrival));
    }
    await Promise.all([...this.#waiting, ...this.#leaving].map(({ done }) => done));
    this.#alarm.stop();
  }

  /** Refuses handshakes that take too long: told why first, cut off if they do not go by themselves. */
  onAlarm(now: number): void {
    const { handshakeTimeout } = this.#options;
    for (const arrival of [...this.#waiting]) {
      if (arrival.due > now) continue;
      const late = `The handshake took longer than ${handshakeTimeout} ms`;
      const told = this.#refuse(arrival, "handshakeTimeout", new RpcError("deadline_exceeded", late));
      // Its answer is being written, and does not leave.
      if (told === undefined) cut(arrival);
    }
    let next = Infinity;
    for (const arrival of this.#leaving) {
      if (arrival.due <= now) cut(arrival);
      else next = Math.min(next, arrival.due);
    }
    for (const { due } of this.#waiting) if (due > now) next = Math.min(next, due);
    this.#alarm.by(next);
  }

  /** Refuses a newcomer. */
  #turnAway(arrival: Arrival, reason: RefusalReason, error: RpcError): void {
    const { conn } = arrival;
    this.#count(arrival, reason, error);
    const told = refuse(conn, error);
    if (!this.#leave(arrival)) {
      told.catch(() => {});
      this.#leaving.delete(arrival);
      return conn.close();
    }
    arrival.due = Infinity;
    arrival.done = lingerClose(conn, told).then(() => void this.#leaving.delete(arrival));
  }

  /**
   * Refuses whoever is in a handshake.
   *
   * @returns Resolves when it has been told; undefined if it has had its answer
   */
  #refuse(arrival: Arrival, reason: RefusalReason, error: RpcError): Promise<void> | undefined {
    const { conn } = arrival;
    if (arrival.answered) return undefined;
    arrival.answered = true;
    this.#count(arrival, reason, error);
    const told = refuse(conn, error).then(() => conn.closeWrite());
    told.catch(() => conn.close());
    if (this.#leave(arrival)) {
      arrival.due = performance.now() + LINGER_MS;
      this.#alarm.by(arrival.due);
    } else {
      cut(arrival);
    }
    return told;
  }

  /** From here on it takes nobody's place. Returns whether there is time to wait for its end. */
  #leave(arrival: Arrival): boolean {
    if (this.#waiting.delete(arrival)) this.#origins.remove(arrival.origin);
    const room = this.#leaving.size < MAX_LEAVING;
    this.#leaving.add(arrival);
    return room;
  }

  #count({ conn }: Arrival, reason: RefusalReason, error: unknown): void {
    const { log } = this.#options;
    this.refusals.add(reason);
    if (error instanceof RpcError) log?.(`Refused ${conn.peer}: ${error.message}`, error.cause);
    else log?.(`${conn.peer} went away during the handshake: ${textOf(error)}`);
  }

  async #admit(arrival: Arrival): Promise<void> {
    const { conn } = arrival;
    let session: Session | undefined;
    try {
      session = await this.#enter(arrival);
    } catch (cause) {
      // Who was told from here has been counted, and whatever it does then is no second reason.
      if (this.#waiting.has(arrival)) this.#count(arrival, reasonOf(cause, arrival), cause);
    }
    if (session !== undefined) return;
    const leaving = this.#leaving.has(arrival) || this.#leave(arrival);
    // What is left has a time limit of its own.
    arrival.due = Infinity;
    if (leaving) await lingerClose(conn);
    else conn.close();
    this.#leaving.delete(arrival);
  }

  /** Makes a session of an arrival; undefined if it went, was refused already, or wanted no more than an answer. */
  async #enter(arrival: Arrival): Promise<Session | undefined> {
    const { conn, httpPath, origin } = arrival;
    const { terms, limits, counters, lookup, mapError, log, fetch } = this.#options;
    const reader = new LineReader(conn);
    if (httpPath !== undefined) {
      const outcome = await acceptHttp(conn, reader, httpPath, fetch);
      if (outcome === "refused" && !arrival.answered) this.refusals.add("http");
      if (outcome !== "rpc") return undefined;
    }
    const agreement = await acceptHandshake(conn, reader, terms, arrival);
    if (agreement === null || !this.#waiting.delete(arrival)) return undefined;
    this.#accepted++;
    const session: Session = new Session(conn, {
      agreement,
      dialled: false,
      prefix: reader.rest(),
      limits,
      counters,
      clock: this.#clock,
      slots: new PeerCallSlots(this.slots, () => sharerOf(agreement.identity, conn.peer)),
      bodies: this.#bodies,
      names: this.#names,
      lookup,
      mapError,
      log,
      ended: () => {
        this.#sessions.delete(session);
        this.#origins.remove(origin);
      },
    });
    this.#sessions.add(session);
    // The answer was on its way when the server began to end: it is told so before its first call is taken up.
    if (this.#closed) session.drain();
    return session;
  }
}

/** Which connections share places: those of one identity, else of one IP address or network, else of Unix sockets. */
export function sharerOf(identity: Identity | undefined, peer: string): string {
  const name = typeof identity === "object" ? identity.name : identity;
  return name === undefined ? `address ${networkOf(peer)}` : `name ${name}`;
}

function arrivalOf(
  conn: Conn,
  httpPath: string | undefined,
  origin: string | undefined,
  due: number,
): Arrival {
  const { promise: gone, resolve: giveUp } = Promise.withResolvers<void>();
  const done = Promise.resolve();
  return { conn, httpPath, origin, due, gone, giveUp, done, answered: false, judging: "option" };
}

/** Closes the Conn of whoever has been told why. */
function cut({ conn, giveUp }: Arrival): void {
  conn.close();
  giveUp();
}

/** What a handshake failed for. */
function reasonOf(cause: unknown, { judging }: Arrival): RefusalReason {
  if (cause instanceof RpcError) return judging;
  return cause instanceof TlsFailure ? "tls" : "lost";
}
