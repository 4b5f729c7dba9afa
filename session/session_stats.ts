// Statistics of a session and its streams, derived on request from state that exists anyway, so that calls pay nothing for
// them. Used by servers, for their pages.

/** The state of a connection. */
export interface SessionStats {
  /** The peer's address. */
  readonly address: string;
  /** `leaving` and `draining`: it accepts no new calls; `closing`: no call is unanswered. */
  readonly state: SessionState;
  /** The media type of its messages' bodies. */
  readonly codec: string;
  /** How long the session has been open, in ms. */
  readonly age: number;
  /** For how long nothing has arrived, in ms. */
  readonly silence: number;
  /**
   * How many calls the peer has made, if it numbers them without gaps, as this library does. The protocol allows gaps.
   */
  readonly calls: number;
  /** Calls of the peer whose handlers have not returned. */
  readonly inFlight: number;
  /** Calls to the peer that are not settled: handlers' calls back. */
  readonly callsBack: number;
  /** Bytes that wait to be written, or are being written. */
  readonly unsentBytes: number;
}

/** The state of a connection in one word. */
export type SessionState = "open" | "leaving" | "draining" | "closing" | "closed";

/** One direction of a stream. */
export interface FlowStats {
  /** Items sent or received so far. */
  readonly items: number;
  /** Bytes of these items, as the codec encoded them. */
  readonly bytes: number;
  /** Items that may still be sent before the receiver has to grant more credit. */
  readonly itemCredit: number;
  /** The same in bytes. The last item may exceed it: then it is below 0. */
  readonly byteCredit: number;
  /** Items that have arrived and were not taken yet; 0 at the sending end. */
  readonly waiting: number;
  /**
   * What it waits for. At the sending end: `credit` of the receiver, `room` in the connection's send buffer, or the next
   * item of its `handler`. At the receiving end: items of the `peer`, or the `handler` to take them.
   */
  readonly waitsFor: "credit" | "room" | "handler" | "peer" | "nothing";
}
