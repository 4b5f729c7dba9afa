// One call of the other side while it is being answered. Made and kept by the callee's half of a session; handlers see it as
// their context.

import type { IdentifiedContext, Identity, Method, Peer } from "../call/handler.ts";
import type { RpcError } from "../call/error.ts";
import { type Metadata, toMetadata } from "../call/metadata.ts";
import type { ServerCallObserver } from "../call/call_observer.ts";
import type { RecvStream } from "./recv_stream.ts";
import type { SendStream } from "./send_stream.ts";
import { type PeerSession, SessionPeer } from "./session_peer.ts";

/** A call being answered: what the session knows of it, and the context that its handler sees. */
export class IncomingCall implements IdentifiedContext {
  /** Whether it has had its answer or is owed none. */
  answered = false;
  /** Takes the arguments, where they are a stream. */
  recvStream: RecvStream | undefined;
  /** Sends the answer, where that is a stream. */
  sendStream: SendStream | undefined;
  #peer: Peer | undefined;
  #replyMetadata: Map<string, string | Uint8Array> | undefined;
  #abort: AbortController | undefined;
  #reason: RpcError | undefined;
  /** How far its streams were when it was seen to wait for its caller, and since when. */
  declare private stall?: { readonly items: number; readonly since: number } | undefined;

  // `declare`: what the constructor sets is not to be set twice, in an object that every call makes.
  declare readonly method: string;
  declare readonly session: PeerSession;
  declare readonly metadata: Metadata;
  declare readonly deadline: number;
  declare readonly seq: number;
  declare readonly target: Method;
  declare readonly arrived: number;
  /** Who watches it; set before its handler is started, or never. */
  declare observer?: ServerCallObserver | undefined;

  constructor(
    method: string,
    session: PeerSession,
    metadata: Metadata,
    deadline: number,
    seq: number,
    target: Method,
    arrived: number,
  ) {
    this.method = method;
    this.session = session;
    this.metadata = metadata;
    this.deadline = deadline;
    this.seq = seq;
    this.target = target;
    this.arrived = arrived;
  }

  get peer(): Peer {
    return this.#peer ??= new SessionPeer(this.session, this, this.target.observer?.back);
  }

  /** Who calls: as an interceptor has said, else as `authenticate` has. */
  get identity(): Identity | undefined {
    return this.#peer === undefined ? this.session.identity : this.#peer.identity;
  }

  identify(identity: Identity | undefined): void {
    SessionPeer.identify(this.peer, identity);
  }

  get replyMetadata(): Map<string, string | Uint8Array> {
    return this.#replyMetadata ??= new Map();
  }

  /**
   * What is to be sent beside the answer.
   *
   * @throws {TypeError | RangeError} If that is not allowed
   */
  takeReplyMetadata(): Metadata | undefined {
    // Interceptors may have asked for it, and set nothing.
    return this.#replyMetadata?.size ? toMetadata(this.#replyMetadata) : undefined;
  }

  get signal(): AbortSignal {
    // Made when it is first asked for: most handlers never do.
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#reason !== undefined) this.#abort.abort(this.#reason);
    }
    return this.#abort.signal;
  }

  /** What is shown of it where it is logged: what handlers are told, and not what the session notes. */
  [Symbol.for("Deno.customInspect")](inspect: typeof Deno.inspect, options: Deno.InspectOptions): string {
    const { method, peer, metadata, deadline, signal, replyMetadata } = this;
    return `CallContext ${inspect({ method, peer, metadata, deadline, signal, replyMetadata }, options)}`;
  }

  /** Whether its handler has waited for its caller for `limit` ms. Known from the second look on. */
  stalled(now: number, limit: number): boolean {
    const [sent, received] = [this.sendStream?.stats(), this.recvStream?.stats()];
    const waits = sent?.waitsFor === "credit" || sent === undefined && received?.waitsFor === "peer";
    const items = (sent?.items ?? 0) + (received?.items ?? 0);
    if (!waits) this.stall = undefined;
    else if (this.stall?.items !== items) this.stall = { items, since: now };
    return this.stall !== undefined && now - this.stall.since >= limit;
  }

  /** Tells the handler, and its streams, that nobody waits any more. */
  abort(reason: RpcError): void {
    this.#reason ??= reason;
    this.#abort?.abort(this.#reason);
    this.recvStream?.fail(this.#reason, true);
    this.sendStream?.stop();
  }
}
