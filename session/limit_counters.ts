// Counts, for all sessions of one server or client, what was refused, given up or cut off because of each limit.

/** How often each limit was reached since the start. */
export interface LimitStats {
  /** Calls refused because too many were in flight on their connection: `maxInFlight`. */
  readonly inFlight: number;
  /** Calls refused because too many were in flight on all connections together: `maxInFlightTotal`. */
  readonly inFlightTotal: number;
  /** Calls refused because they had waited too long: `maxQueueTime`. */
  readonly queueTime: number;
  /** Calls ended because their handlers waited for their callers while few slots were left: `stallTimeout`. */
  readonly stallTimeout: number;
  /** Calls not started because their deadline had passed. */
  readonly expired: number;
  /** Connections closed over frames that break the protocol or are too long: `maxFrameBytes`. */
  readonly frames: number;
  /** Connections closed over frames that did not arrive completely in time: `frameTimeout`. */
  readonly frameTimeout: number;
  /** Connections cut because nothing could be written: `writeTimeout`. */
  readonly writeTimeout: number;
  /** Connections cut because the peer was silent: `heartbeatTimeout`. */
  readonly heartbeatTimeout: number;
  /** Connections closed because of too many frames that request no work: `maxUselessFrames`. */
  readonly uselessFrames: number;
}

/** The counts; sessions increment them. */
export class LimitCounters implements LimitStats {
  inFlight = 0;
  inFlightTotal = 0;
  queueTime = 0;
  stallTimeout = 0;
  expired = 0;
  frames = 0;
  frameTimeout = 0;
  writeTimeout = 0;
  heartbeatTimeout = 0;
  uselessFrames = 0;

  /** A copy of the counts. */
  stats(): LimitStats {
    return { ...this };
  }
}
