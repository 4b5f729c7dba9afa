// What the sessions of one server or client count together: what they refused, gave up or cut off, limit by limit.

/** How often limits were met since the start. What counts for an option has the option's name. */
export interface LimitStats {
  /** Calls refused because too many were in flight on their connection: `maxInFlight`. */
  readonly maxInFlight: number;
  /** Calls refused because too many were in flight on all connections together: `maxInFlightTotal`. */
  readonly maxInFlightTotal: number;
  /** Calls refused because they had waited too long already: `maxQueueTime`. */
  readonly maxQueueTime: number;
  /** Calls ended because their handlers waited for their callers while few places were left: `stallTimeout`. */
  readonly stallTimeout: number;
  /** Calls never started because their time was over. */
  readonly expired: number;
  /** Connections ended over frames that break the protocol, or are longer than `maxFrameBytes`. */
  readonly invalidFrames: number;
  /** Connections ended over frames that did not come to their end: `frameTimeout`. */
  readonly frameTimeout: number;
  /** Connections cut because nothing could be written: `writeTimeout`. */
  readonly writeTimeout: number;
  /** Connections cut because the other side was silent: `heartbeatTimeout`. */
  readonly heartbeatTimeout: number;
  /** Connections ended because too much was sent that asks for no work: `maxUselessFrames`. */
  readonly maxUselessFrames: number;
}

/** The counts, as sessions raise them. */
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
