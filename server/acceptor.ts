// Turns accepted Conns into Sessions, or refuses them with a reason: connection limits, the HTTP head, the handshake,
// and their time limit. Owned by a Server.

import { RpcError } from "../call/error.ts";
import { KeyCache } from "../codec/key_cache.ts";
import { Alarm, AlarmClock, type Sleeper } from "../session/alarm_clock.ts";
import { CallSlots, PeerCallSlots, sharerOf } from "../session/call_slots.ts";
import { CallBodies, MAX_HELD_BYTES } from "../session/call_body.ts";
import type { Conn } from "../transport/conn.ts";
import { acceptHandshake, type AcceptTerms, type Agreement } from "../session/handshake.ts";
import { acceptHttp, type HttpHandlers } from "../transport/http.ts";
import { mostHeld, type SessionLimits } from "../session/limits.ts";
import { LifetimeCheck } from "../session/lifetime.ts";
import { LineReader } from "../transport/line_reader.ts";
import { LINGER_MS, lingerClose } from "../transport/linger.ts";
import { textOf } from "../session/frame_writer.ts";
import { Session } from "../session/session.ts";
import type { WindowBudget } from "../session/window_budget.ts";
import type { CreateCallee } from "../session/callee_half.ts";
import type { LimitCounters } from "../session/limit_counters.ts";
import { TlsFailure } from "../transport/node_conn.ts";
import { WebSocketFault } from "../transport/websocket_frames.ts";
import { WebSocketConn } from "../transport/websocket_conn.ts";
import { ConnectionCounts } from "../transport/connection_counts.ts";
import { type Arrival, arrivalOf, cut, reasonOf, tell } from "./arrival.ts";
import { RefusalCounts, type RefusalReason } from "../monitoring/refusals.ts";

/** The most refused connections that may linger; beyond it, refused connections are closed at once. */
const MAX_LEAVING = 256;

/** Options of {@linkcode Acceptor}. */
export interface AcceptorOptions {
  readonly terms: AcceptTerms;
  readonly limits: SessionLimits;
  readonly counters: LimitCounters;
  readonly createCallee: CreateCallee;
  /** Answers other HTTP requests on an `http@` address. */
  readonly http: HttpHandlers;
  /** Concurrent connections, including those in their handshake. */
  readonly maxConnections: number;
  /** Concurrent connections from one IP address; Infinity = no limit. */
  readonly maxConnectionsPerPeer: number;
  /** How long a handshake may take, in ms. */
  readonly handshakeTimeout: number;
  /** Running asynchronous handlers of all connections. */
  readonly maxInFlightTotal: number;
  /** The credit that streams may hold beyond their initial windows. */
  readonly windows: WindowBudget;
  /** How long these may wait for their callers while few slots are left, in ms. */
  readonly stallTimeout: number;
  /** Ends handlers without a connection that have waited for their callers for `stallTimeout`. */
  readonly endStalled?: () => void;
  readonly mapError?: (error: unknown) => RpcError | undefined;
  readonly log?: (message: string, error?: unknown) => void;
}

/** The connections of a server. */
export class Acceptor implements Sleeper {
  readonly #options: AcceptorOptions;
  readonly #names = new KeyCache();
  readonly #bodies = new CallBodies(MAX_HELD_BYTES);
  /** The slots of all handlers. */
  readonly slots: CallSlots;
  /** Connections in their handshake, oldest first. */
  readonly #waiting = new Set<Arrival>();
  /** Refused connections that are still open. They do not count against `maxConnections`. */
  readonly #leaving = new Set<Arrival>();
  readonly #sessions = new Set<Session>();
  readonly #origins: ConnectionCounts;
  readonly #clock = new AlarmClock();
  readonly #alarm: Alarm = new Alarm(this, this.#clock);
  /** Connections that have been ended here and that the runtime has not let go. */
  #unreleased = 0;
  #accepted = 0;
  #probes = 0;
  #closed = false;

  /** Refused connections, by reason. */
  readonly refusals: RefusalCounts = new RefusalCounts();

  constructor(options: AcceptorOptions) {
    this.#options = options;
    this.#origins = new ConnectionCounts(options.maxConnectionsPerPeer);
    this.slots = new CallSlots(options.maxInFlightTotal, () => {
      options.endStalled?.();
      for (const session of this.#sessions) session.endStalled(options.stallTimeout);
    });
  }

  /** The sessions: connections whose handshake is done. */
  get sessions(): ReadonlySet<Session> {
    return this.#sessions;
  }

  /** Connections in their handshake. */
  get handshakes(): number {
    return this.#waiting.size;
  }

  /** Handshakes that have succeeded. */
  get accepted(): number {
    return this.#accepted;
  }

  /** Connections that ended before a byte arrived. */
  get probes(): number {
    return this.#probes;
  }

  /** Counts a connection that ended before it could be taken. */
  countProbe(): void {
    this.#probes++;
  }

  /** Which limit leaves no place for a WebSocket of `Deno.serve`: this has to be known before it is opened. */
  limitFor(peer: string): "maxConnections" | "maxConnectionsPerPeer" | undefined {
    if (this.#origins.full(this.#origins.of(peer))) return "maxConnectionsPerPeer";
    const full = this.#places >= this.#options.maxConnections && this.#oldest() === undefined;
    return full ? "maxConnections" : undefined;
  }

  /**
   * Takes a Conn; returns at once.
   *
   * @param httpPath The path of RPC, if the Conn begins with an HTTP head
   */
  take(conn: Conn, httpPath: string | undefined): void {
    if (this.#closed) {
      this.refusals.add("closing");
      return conn.close();
    }
    const { maxConnections, handshakeTimeout } = this.#options;
    // Behind a proxy the client's address is known later.
    const origin = conn.readProxyHeader === undefined ? this.#origins.of(conn.peer) : undefined;
    const arrival = arrivalOf(conn, httpPath, origin, performance.now() + handshakeTimeout);
    if (this.#origins.full(origin)) {
      return this.#turnAway(arrival, "maxConnectionsPerPeer", this.#tooMany());
    }
    if (this.#places >= maxConnections) {
      const full = new RpcError("resource_exhausted", `More than ${maxConnections} connections`);
      // Silent connections must not block others: the oldest handshake makes room.
      const longest = this.#oldest();
      if (longest === undefined) return this.#turnAway(arrival, "maxConnections", full);
      this.#refuse(longest, "maxConnections", full);
    }
    this.#waiting.add(arrival);
    this.#origins.add(origin);
    this.#alarm.by(arrival.due);
    arrival.done = this.#admit(arrival);
  }

  /** Refuses all connections in their handshake; resolves when they are closed. */
  async close(): Promise<void> {
    this.#closed = true;
    this.slots.close();
    const reason = new RpcError("unavailable", "The server is shutting down");
    for (const arrival of [...this.#waiting]) {
      const sent = this.#refuse(arrival, "closing", reason);
      sent?.catch(() => {}).then(() => cut(arrival));
    }
    await Promise.all([...this.#waiting, ...this.#leaving].map(({ done }) => done));
    this.#alarm.stop();
  }

  /** Refuses handshakes that take too long, and closes refused connections that linger too long. */
  onAlarm(now: number): void {
    const { handshakeTimeout } = this.#options;
    for (const arrival of [...this.#waiting]) {
      if (arrival.due > now) continue;
      const late = `The handshake took longer than ${handshakeTimeout} ms`;
      const sent = this.#refuse(arrival, "handshakeTimeout", new RpcError("deadline_exceeded", late));
      // Its answer is being written, but the peer does not read it.
      if (sent === undefined) cut(arrival);
    }
    let next = Infinity;
    for (const arrival of this.#leaving) {
      if (arrival.due <= now) cut(arrival);
      else next = Math.min(next, arrival.due);
    }
    for (const { due } of this.#waiting) if (due > now) next = Math.min(next, due);
    this.#alarm.by(next);
  }

  /** Connections, including those in their handshake. */
  get #places(): number {
    return this.#sessions.size + this.#waiting.size + this.#unreleased;
  }

  /** The oldest handshake that can make room for another. */
  #oldest(): Arrival | undefined {
    return this.#waiting.values().find(({ answered, conn }) => !answered && conn.gone === undefined);
  }

  /** Frees the place of a connection that has ended, once the runtime has released it. */
  #release({ gone }: Conn, origin: string | undefined): void {
    if (gone === undefined) return this.#origins.remove(origin);
    this.#unreleased++;
    gone.then(() => {
      this.#unreleased--;
      this.#origins.remove(origin);
    });
  }

  #tooMany(): RpcError {
    const most = `More than ${this.#options.maxConnectionsPerPeer} connections from one address`;
    return new RpcError("resource_exhausted", most);
  }

  /**
   * Waits for the address of a proxy's client, and counts it.
   *
   * @returns Whether there is room for another connection from there
   */
  async #identify(arrival: Arrival): Promise<boolean> {
    await arrival.conn.readProxyHeader?.();
    if (!this.#waiting.has(arrival)) return false;
    const origin = this.#origins.of(arrival.conn.peer);
    if (this.#origins.full(origin)) {
      this.#refuse(arrival, "maxConnectionsPerPeer", this.#tooMany());
      return false;
    }
    this.#origins.add(arrival.origin = origin);
    return true;
  }

  /** Refuses a new connection. */
  #turnAway(arrival: Arrival, reason: RefusalReason, error: RpcError): void {
    const { conn } = arrival;
    this.#count(arrival, reason, error);
    const sent = tell(arrival, error);
    if (!this.#leave(arrival)) {
      sent.catch(() => {});
      this.#leaving.delete(arrival);
      return conn.close();
    }
    arrival.due = Infinity;
    arrival.done = lingerClose(conn, sent).then(() => void this.#leaving.delete(arrival));
  }

  /**
   * Refuses a connection in its handshake.
   *
   * @returns Resolves when the refusal has been sent; undefined if the handshake has been answered
   */
  #refuse(arrival: Arrival, reason: RefusalReason, error: RpcError): Promise<void> | undefined {
    const { conn } = arrival;
    if (arrival.answered) return undefined;
    arrival.answered = true;
    this.#count(arrival, reason, error);
    const sent = tell(arrival, error).then(() => conn.closeWrite());
    sent.catch(() => conn.close());
    if (this.#leave(arrival)) {
      arrival.due = performance.now() + LINGER_MS;
      this.#alarm.by(arrival.due);
    } else {
      cut(arrival);
    }
    return sent;
  }

  /** Moves a connection to the refused ones, which do not count. Returns whether it may linger. */
  #leave(arrival: Arrival): boolean {
    if (this.#waiting.delete(arrival)) this.#release(arrival.conn, arrival.origin);
    const room = this.#leaving.size < MAX_LEAVING;
    this.#leaving.add(arrival);
    return room;
  }

  #count({ conn }: Arrival, reason: RefusalReason, error: unknown): void {
    const { log } = this.#options;
    this.refusals.add(reason);
    if (error instanceof RpcError) log?.(`Refused ${conn.peer}: ${error.message}`, error.cause);
    else if (error instanceof SyntaxError || error instanceof WebSocketFault) {
      log?.(`Refused ${conn.peer}: ${error.message}`);
    } else log?.(`${conn.peer} went away during the handshake: ${textOf(error)}`);
  }

  /** Counts a connection that has ended in its handshake. */
  #countEnd(arrival: Arrival, cause: unknown): void {
    const silent = cause instanceof TlsFailure ? cause.silent : arrival.silent;
    if (silent && !(cause instanceof SyntaxError)) this.#probes++;
    else if (cause !== undefined) this.#count(arrival, reasonOf(cause, arrival), cause);
  }

  async #admit(arrival: Arrival): Promise<void> {
    let session: Session | undefined;
    let failure: unknown;
    try {
      session = await this.#enter(arrival);
    } catch (cause) {
      failure = cause;
    }
    if (session !== undefined) return;
    // A connection that was refused has been counted; its end is not a second reason.
    if (this.#waiting.has(arrival)) this.#countEnd(arrival, failure);
    const leaving = this.#leaving.has(arrival) || this.#leave(arrival);
    // Lingering has its own time limit.
    arrival.due = Infinity;
    if (leaving) await lingerClose(arrival.conn);
    else arrival.conn.close();
    this.#leaving.delete(arrival);
  }

  /** Makes a session of an arrival; undefined if it ended, was refused, or was another HTTP request. */
  async #enter(arrival: Arrival): Promise<Session | undefined> {
    if (arrival.conn.readProxyHeader !== undefined && !await this.#identify(arrival)) return undefined;
    const { httpPath, origin } = arrival;
    const { terms, limits, http } = this.#options;
    let { conn } = arrival;
    let reader = new LineReader(conn, () => arrival.silent = false);
    if (httpPath !== undefined) {
      const outcome = await acceptHttp(conn, reader, httpPath, http);
      if (outcome === "refused" && !arrival.answered) this.refusals.add("http");
      if (outcome !== "rpc" && outcome !== "websocket") return undefined;
      arrival.httpPath = undefined;
      if (outcome === "websocket") {
        const peer = conn.peer.replace(/^\w+/, "ws");
        const maxMessageBytes = mostHeld(limits);
        conn = new WebSocketConn(conn, { peer, dialled: false, maxMessageBytes, prefix: reader.rest() });
        arrival.conn = conn;
        reader = new LineReader(conn);
      }
    }
    const agreement = await acceptHandshake(conn, reader, terms, arrival);
    if (agreement === null || !this.#waiting.delete(arrival)) return undefined;
    return this.#begin(conn, origin, agreement, reader.rest());
  }

  /** Begins a session. Its options hold nothing of the handshake: that would stay in memory as long as the connection. */
  #begin(conn: Conn, origin: string | undefined, agreement: Agreement, prefix: Uint8Array): Session {
    const { limits, counters, createCallee, mapError, log, windows } = this.#options;
    this.#accepted++;
    const session: Session = new Session(conn, {
      agreement,
      dialled: false,
      prefix,
      limits,
      counters,
      clock: this.#clock,
      lifetime: agreement.lifetime && new LifetimeCheck(agreement.lifetime, performance.now()),
      slots: new PeerCallSlots(this.slots, () => sharerOf(agreement.identity, conn.peer)),
      bodies: this.#bodies,
      windows,
      names: this.#names,
      createCallee,
      mapError,
      log,
      ended: () => {
        this.#sessions.delete(session);
        this.#release(conn, origin);
      },
    });
    this.#sessions.add(session);
    // The server began to close while the answer was being sent: GoAway goes out before the first call is taken.
    if (this.#closed) session.drain();
    return session;
  }
}
