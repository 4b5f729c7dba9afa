// What a session and the streams in it tell of themselves when somebody looks: worked out of what is there anyway, so
// that calls cost nothing for it. Asked for by servers, for their pages.

/** How a connection stands. */
export interface SessionStats {
  /** Where the other side is. */
  readonly address: string;
  /** `leaving` and `draining`: it takes no new calls; `closing`: nothing is owed any more. */
  readonly state: SessionState;
  /** The media type of what its messages are written in. */
  readonly codec: string;
  /** Since when there is a session, in ms. */
  readonly age: number;
  /** For how long nothing has come, in ms. */
  readonly silence: number;
  /**
   * How many calls the other side has made, if it numbers them without gaps, as this library does; the protocol allows
   * gaps.
   */
  readonly calls: number;
  /** Calls of the other side whose handlers have not returned. */
  readonly inFlight: number;
  /** Calls to the other side that are not settled: handlers' calls back. */
  readonly callsBack: number;
  /** Bytes that wait to be written, or are being written. */
  readonly unsentBytes: number;
}

/** How a connection stands, in a word. */
export type SessionState = "open" | "leaving" | "draining" | "closing" | "closed";

/** One direction of a stream. */
export interface FlowStats {
  /** Items so far. */
  readonly items: number;
  /** Bytes of these, as the codec wrote them. */
  readonly bytes: number;
  /** Items that may still be sent before whoever receives has to give more credit. */
  readonly itemCredit: number;
  /** The same in bytes. The last item may go beyond: it is then below 0. */
  readonly byteCredit: number;
  /** Items that have arrived and are not taken yet; 0 at the sending end. */
  readonly waiting: number;
  /**
   * What it waits for. At the sending end: `credit` of the other side, `room` in what waits to be written, or the next
   * item of its `handler`. At the receiving end: items of the `peer`, or the `handler` to take them.
   */
  readonly waitsFor: "credit" | "room" | "handler" | "peer" | "nothing";
}
