// Counts refused connections by reason. Owned by the Acceptor, shown in `stats()` and on the debug page.

/** Connections that were refused since the start, by reason. Each counts once. */
export interface Refusals {
  /** There were `maxConnections` connections: the oldest handshake, or the new connection. */
  readonly maxConnections: number;
  /** There were `maxConnectionsPerPeer` connections from the same address. */
  readonly maxConnectionsPerPeer: number;
  /** The handshake took longer than `handshakeTimeout`, or than the client's `connectTimeout`. */
  readonly handshakeTimeout: number;
  /** The client's option line was invalid or of another version, or the WebSocket frames that carry it were invalid. */
  readonly option: number;
  /** The client asked for a codec that this server does not have. */
  readonly codec: number;
  /** `authenticate` refused the client. */
  readonly unauthenticated: number;
  /** The server was shutting down. */
  readonly closing: number;
  /** An HTTP request on an `http@` address, or for a WebSocket, was answered with a status of 400 or above. */
  readonly http: number;
  /** The header of a proxy was missing or invalid, where the option `proxyProtocol` requires one. */
  readonly proxyHeader: number;
  /** The TLS handshake failed, for example because the client's certificate was invalid. */
  readonly tls: number;
  /** The connection was lost, or ended during its handshake. */
  readonly lost: number;
}

/** A reason to refuse a connection. */
export type RefusalReason = keyof Refusals;

/** The counters. */
export class RefusalCounts {
  readonly #counts: Record<RefusalReason, number> = {
    maxConnections: 0,
    maxConnectionsPerPeer: 0,
    handshakeTimeout: 0,
    option: 0,
    codec: 0,
    unauthenticated: 0,
    closing: 0,
    http: 0,
    proxyHeader: 0,
    tls: 0,
    lost: 0,
  };

  /** Counts a refused connection. */
  add(reason: RefusalReason): void {
    this.#counts[reason]++;
  }

  /** The sum of all reasons. */
  get sum(): number {
    return Object.values(this.#counts).reduce((sum, count) => sum + count, 0);
  }

  /** A copy of the counters. */
  byReason(): Refusals {
    return { ...this.#counts };
  }
}
