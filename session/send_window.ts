// How far a session sends ahead of a peer that buffers what it has not read, as the WebSockets of browsers do: nothing
// makes such a sender wait. A Ping follows every so many bytes, and its Pong says that these have been read.
// Owned by a session whose Conn says `buffersUnread`.

/** What a window needs of its session. */
export interface SendWindowOwner {
  /** Sends a Ping. Returns its number. */
  ping(): number;
}

/** Bytes that were sent and that the peer has not confirmed. */
export class SendWindow {
  readonly #owner: SendWindowOwner;
  readonly #step: number;
  #confirmed = 0;
  /** The Ping that is not answered, and what had been sent before it. */
  #ping: number | undefined;
  #before = 0;

  /** @param step A Ping follows each time so many bytes have been sent */
  constructor(owner: SendWindowOwner, step: number) {
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

  /** A Pong has come. */
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
