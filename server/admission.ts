// From an accepted Conn to a Session, or to a refusal that says why: the caps, the HTTP head, the handshake and the
// time all of it may take. Owned by a Server.

import type { Lookup } from "../call/dispatch.ts";
import { RpcError } from "../call/error.ts";
import { KeyCache } from "../codec/key_cache.ts";
import type { Conn } from "../transport/conn.ts";
import { acceptHandshake, type AcceptTerms, refuse } from "../transport/handshake.ts";
import { acceptHttp, type FetchHandler } from "../transport/http.ts";
import type { SessionLimits } from "../transport/limits.ts";
import { LineReader } from "../transport/line_reader.ts";
import { LINGER_MS, lingerClose } from "../transport/linger.ts";
import { Session } from "../transport/session.ts";
import { textOf } from "../transport/outbox.ts";

/** What decides who comes in, and what for. */
export interface AdmissionOptions {
  readonly terms: AcceptTerms;
  readonly limits: SessionLimits;
  readonly lookup: Lookup;
  /** Answers what is asked on an HTTP port beside RPC. */
  readonly fetch: FetchHandler;
  /** Connections at once, those in their handshake included. */
  readonly maxConnections: number;
  /** How long a handshake may take, in ms. */
  readonly handshakeTimeout: number;
  readonly log?: (message: string, error?: unknown) => void;
}

/** How a Conn is to be taken: as it is, or through the HTTP head that leads to RPC at a path. */
export type Entrance = { readonly httpPath?: string };

/** The connections of a server, from their first byte to their end. */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #names = new KeyCache();
  readonly #arriving = new Map<Conn, Promise<void>>();
  readonly #sessions = new Set<Session>();
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

  /** Takes a Conn; returns at once. */
  take(conn: Conn, entrance: Entrance): void {
    const arrival = this.#admit(conn, entrance).finally(() => this.#arriving.delete(conn));
    this.#arriving.set(conn, arrival);
  }

  /** Turns away whoever is still in a handshake; resolves when they are gone. */
  async close(): Promise<void> {
    this.#closed = true;
    const arriving = [...this.#arriving];
    for (const [conn] of arriving) conn.close();
    await Promise.all(arriving.map(([, arrival]) => arrival));
  }

  async #admit(conn: Conn, entrance: Entrance): Promise<void> {
    const { maxConnections, handshakeTimeout, log } = this.#options;
    let timer = setTimeout(() => {
      const late = new RpcError("deadline_exceeded", `The handshake took longer than ${handshakeTimeout} ms`);
      timer = setTimeout(() => conn.close(), LINGER_MS);
      refuse(conn, late).then(() => conn.closeWrite()).catch(() => conn.close());
    }, handshakeTimeout);
    try {
      if (this.#sessions.size + this.#arriving.size >= maxConnections) {
        const error = new RpcError("resource_exhausted", `More than ${maxConnections} connections`);
        await refuse(conn, error);
        throw error;
      }
      if (await this.#enter(conn, entrance)) return clearTimeout(timer);
    } catch (error) {
      this.#refused++;
      if (error instanceof RpcError) log?.(`Refused ${conn.peer}: ${error.message}`);
      else log?.(`${conn.peer} went away during the handshake: ${textOf(error)}`);
    }
    clearTimeout(timer);
    await lingerClose(conn);
  }

  /** Whether a session was made of the Conn. */
  async #enter(conn: Conn, { httpPath }: Entrance): Promise<boolean> {
    const { terms, limits, lookup, log, fetch } = this.#options;
    const reader = new LineReader(conn);
    if (httpPath !== undefined && !await acceptHttp(conn, reader, httpPath, fetch)) return false;
    const agreement = await acceptHandshake(conn, reader, terms);
    if (agreement === null || this.#closed) return false;
    this.#accepted++;
    const session: Session = new Session(conn, {
      agreement,
      dialled: false,
      prefix: reader.rest(),
      limits,
      names: this.#names,
      lookup,
      log,
      ended: () => this.#sessions.delete(session),
    });
    this.#sessions.add(session);
    return true;
  }
}
