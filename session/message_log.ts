// Log lines about messages that one side of a connection has rejected, or probably will: the other side's call fails, and its
// user may be unable to see why. Owned by a session.

import type { Identity } from "../call/handler.ts";
import { shownPeer } from "../call/identity.ts";
import { shownMethod } from "../call/method_name.ts";
import type { Conn } from "../transport/conn.ts";

/** Methods of one connection that are logged. */
const MAX_METHODS = 8;

/** Logs once for each method of a connection: a peer cannot fill the log. */
export class MessageLog {
  readonly #log: ((message: string, error?: unknown) => void) | undefined;
  readonly #conn: Conn;
  readonly #identity: Identity | undefined;
  #methods: Set<string> | undefined;

  constructor(
    log: ((message: string, error?: unknown) => void) | undefined,
    conn: Conn,
    identity: Identity | undefined,
  ) {
    this.#log = log;
    this.#conn = conn;
    this.#identity = identity;
  }

  /**
   * A message was sent that the peer will reject if it has the limits of this side.
   *
   * @param reason Why, with the option that limits it
   */
  sentTooMuch(method: string, reason: string): void {
    this.#once(method, `may reject a message of ${shownMethod(method)}: ${reason}`);
  }

  /** A message of the peer was rejected. */
  rejected(method: string, error: unknown): void {
    // Parsers quote what they have read, such as JSON.parse: a part of the message, which may be a secret.
    const [why] = (error instanceof Error ? error.message : "").split(/,? ?(?:\.\.\.)?"/, 1);
    this.#once(
      method,
      `has sent a message of ${shownMethod(method)} that is rejected${why === "" ? "" : `: ${why}`}`,
    );
  }

  #once(method: string, what: string): void {
    if (this.#log === undefined) return;
    const methods = this.#methods ??= new Set();
    if (methods.has(method) || methods.size === MAX_METHODS) return;
    methods.add(method);
    this.#log(`${shownPeer(this.#conn.peer, this.#identity)} ${what}`);
  }
}
