// Why connections were turned away, counted. Owned by Admission, shown in `stats()` and on the debug page.

/** Connections that were turned away since the start, by reason: each is counted once. */
export interface Refusals {
  /** There were `maxConnections` already, or a newcomer needed the place of one that was long in its handshake. */
  readonly maxConnections: number;
  /** There were `maxConnectionsPerPeer` of the same address already. */
  readonly maxConnectionsPerPeer: number;
  /** Its handshake took longer than `handshakeTimeout`, or than the client itself would wait. */
  readonly handshakeTimeout: number;
  /** What it sent was no option of this protocol and version. */
  readonly option: number;
  /** It asked for a codec that is not known here. */
  readonly codec: number;
  /** `authenticate` did not let it in. */
  readonly unauthenticated: number;
  /** The server was closing. */
  readonly closing: number;
  /** It asked for something over HTTP that it could not have: the answer's status was 400 or above. */
  readonly http: number;
  /** The TLS handshake failed, for one because no good certificate was shown. */
  readonly tls: number;
  /** It was lost, or ended in the middle of its handshake. */
  readonly lost: number;
}

/** One of the reasons. */
export type RefusalReason = keyof Refusals;

/** Counts refusals. */
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
    tls: 0,
    lost: 0,
  };

  /** Counts one. */
  add(reason: RefusalReason): void {
    this.#counts[reason]++;
  }

  /** All of them together. */
  get sum(): number {
    return Object.values(this.#counts).reduce((sum, count) => sum + count, 0);
  }

  /** Each of them, as it is now. */
  byReason(): Refusals {
    return { ...this.#counts };
  }
}
