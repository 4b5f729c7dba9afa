// Counts, for all sessions of one server or client, what was refused, given up or cut off because of each limit.

/** How often each limit was reached since the start. */
export interface LimitStats {
  /** Calls refused because too many were in flight on their connection: `maxInFlight`. */
  readonly maxInFlight: number;
  /** Calls refused because too many were in flight on all connections together: `maxInFlightTotal`. */
  readonly maxInFlightTotal: number;
  /** Calls refused because they had waited too long: `maxQueueTime`. */
  readonly maxQueueTime: number;
  /** Calls ended because their handlers waited for their callers while few slots were left: `stallTimeout`. */
  readonly stallTimeout: number;
  /** Calls not started because their deadline had passed. */
  readonly expired: number;
  /** Connections closed over frames that break the protocol or are too long: `maxFrameBytes`. */
  readonly invalidFrames: number;
  /** Connections closed over frames that did not arrive completely in time: `frameTimeout`. */
  readonly frameTimeout: number;
  /** Connections cut because nothing could be written: `writeTimeout`. */
  readonly writeTimeout: number;
  /** Connections cut because the peer was silent: `heartbeatTimeout`. */
  readonly heartbeatTimeout: number;
  /** Connections closed because of too many frames that request no work: `maxUselessFrames`. */
  readonly maxUselessFrames: number;
}

/** The counts; sessions increment them. */
export class LimitCounters implements LimitStats {
  maxInFlight = 0;
  maxInFlightTotal = 0;
  maxQueueTime = 0;
  stallTimeout = 0;
  expired = 0;
  invalidFrames = 0;
  frameTimeout = 0;
  writeTimeout = 0;
  heartbeatTimeout = 0;
  maxUselessFrames = 0;

  /** A copy of the counts. */
  stats(): LimitStats {
    return { ...this };
  }
}
