// Bounds how many unconfirmed bytes a session sends to a peer that buffers unread data without a bound, as the WebSockets of
// browsers do: the transport has no backpressure. A Ping follows each step of bytes, and its Pong confirms that they were
// read. Owned by a session whose Conn has `buffersUnread`.

/** The session that sends the bytes. */
export interface UnconfirmedBytesOwner {
  /** Sends a Ping. Returns its number. */
  ping(): number;
}

/** Bytes that were sent and that the peer has not confirmed. */
export class UnconfirmedBytes {
  readonly #owner: UnconfirmedBytesOwner;
  readonly #step: number;
  #confirmed = 0;
  /** The Ping that is not answered, and what had been sent before it. */
  #ping: number | undefined;
  #before = 0;

  /** @param step A Ping follows each time so many bytes have been sent */
  constructor(owner: UnconfirmedBytesOwner, step: number) {
    this.#owner = owner;
    this.#step = step;
  }

  /**
   * Sends a Ping if it is time for one.
   *
   * @param total What has been sent and written so far, in bytes
   */
  onSent(total: number): void {
    if (this.#ping !== undefined || total - this.#confirmed < this.#step) return;
    this.#before = total;
    this.#ping = this.#owner.ping();
  }

  /** A Pong has arrived. */
  onPong(ping: number): void {
    if (this.#ping === undefined || ping < this.#ping) return;
    this.#confirmed = this.#before;
    this.#ping = undefined;
  }

  /** How many of these bytes have not been confirmed. */
  unconfirmed(total: number): number {
    return total - this.#confirmed;
  }
}
