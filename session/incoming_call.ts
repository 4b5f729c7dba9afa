// One call of a peer while it is being answered, and its requester: where the call came from, and where its answer goes.
// Created by a session's callee, or by any other entrance to a server; handlers receive the call as their context.

import type { ServerCallObserver } from "../call/call_observer.ts";
import type { RpcError } from "../call/error.ts";
import type { IdentifiedContext, Identity, Method, Peer } from "../call/handler.ts";
import { type Metadata, toMetadata } from "../call/metadata.ts";
import type { RecvStream } from "./recv_stream.ts";
import type { SendStream } from "./send_stream.ts";
import { type PeerSession, SessionPeer } from "./session_peer.ts";

/**
 * The caller's side of a call: its peer as handlers see it (`context.peer`), and the sink of its answer. One requester may
 * have made many calls, as a connection does. Each call ends with one successful `answer` or `end`, with one `fail`, or
 * with none of them if it is abandoned.
 */
export interface Requester extends PeerSession {
  /**
   * Sends a value as the answer.
   *
   * @returns Why the value cannot be sent, in which case nothing was
   */
  answer(call: IncomingCall, value: unknown, metadata: Metadata | undefined): RpcError | undefined;
  /**
   * Sends the end of the items that were sent as the answer.
   *
   * @returns Why that cannot be sent, in which case nothing was
   */
  end(call: IncomingCall, metadata: Metadata | undefined): RpcError | undefined;
  /**
   * Sends an error as the answer.
   *
   * @param notStarted Whether the caller may rely on no handler having been started
   * @returns Why some of what the error carries was left out, if it was
   */
  fail(
    call: IncomingCall,
    error: RpcError,
    metadata: Metadata | undefined,
    notStarted: boolean,
  ): RpcError | undefined;
  /**
   * Opens the stream that sends the items of an answer. Its owner writes each item; one that cannot be sent ends the call
   * by {@linkcode CallRunner.failUnsent}.
   */
  openStream(call: IncomingCall): SendStream;
}

/** A call being answered: what its entrance knows of it, and the context that its handler receives. */
export class IncomingCall implements IdentifiedContext {
  /** Whether it was answered, or its caller does not wait any more. */
  answered = false;
  /** Receives the arguments, where they are a stream. */
  recvStream: RecvStream | undefined;
  /** Sends the answer, where that is a stream. */
  sendStream: SendStream | undefined;
  #peer: Peer | undefined;
  #replyMetadata: Map<string, string | Uint8Array> | undefined;
  #abort: AbortController | undefined;
  #reason: RpcError | undefined;
  /** The progress of its streams at the first check that found them waiting for the caller, and the time of that check. */
  declare private stall?: { readonly items: number; readonly since: number } | undefined;

  /** Why the server drains, once it does; and the signal that says so, once it was used. */
  declare private drainReason?: RpcError;
  declare private drainController?: AbortController;

  // `declare`: every call creates this object, and initializers would set fields that the constructor sets again.
  declare readonly method: string;
  declare readonly requester: Requester;
  declare readonly metadata: Metadata;
  declare readonly deadline: number;
  declare readonly seq: number;
  declare readonly target: Method;
  declare readonly arrived: number;
  /** Observes the call; set before its handler is started, or never. */
  declare observer?: ServerCallObserver | undefined;

  /**
   * Times are on the clock of `performance.now()`.
   *
   * @param metadata The metadata that the caller sent, without what the protocol adds
   * @param deadline When the caller stops waiting; Infinity = never
   * @param seq The call's number, which no other call of the same runner has while its handler is running
   * @param target The method that was looked up
   * @param arrived When the call arrived
   */
  constructor(
    method: string,
    requester: Requester,
    metadata: Metadata,
    deadline: number,
    seq: number,
    target: Method,
    arrived: number,
  ) {
    this.method = method;
    this.requester = requester;
    this.metadata = metadata;
    this.deadline = deadline;
    this.seq = seq;
    this.target = target;
    this.arrived = arrived;
  }

  get peer(): Peer {
    return this.#peer ??= new SessionPeer(this.requester, this, this.target.observer?.back);
  }

  /** The caller's identity: as an interceptor has set it, else as `authenticate` has. */
  get identity(): Identity | undefined {
    return this.#peer === undefined ? this.requester.identity : this.#peer.identity;
  }

  identify(identity: Identity | undefined): void {
    SessionPeer.identify(this.peer, identity);
  }

  get replyMetadata(): Map<string, string | Uint8Array> {
    return this.#replyMetadata ??= new Map();
  }

  /**
   * The metadata to send with the answer.
   *
   * @throws {TypeError | RangeError} If it is invalid
   */
  takeReplyMetadata(): Metadata | undefined {
    // Interceptors may have asked for the map, and set nothing.
    return this.#replyMetadata?.size ? toMetadata(this.#replyMetadata) : undefined;
  }

  get signal(): AbortSignal {
    // Created on first use: most handlers never use it.
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#reason !== undefined) this.#abort.abort(this.#reason);
    }
    return this.#abort.signal;
  }

  get draining(): AbortSignal {
    const controller = this.drainController ??= new AbortController();
    if (this.drainReason !== undefined) controller.abort(this.drainReason);
    return controller.signal;
  }

  /** The server drains: the handler may finish, and should not take longer than it has to. */
  drain(reason: RpcError): void {
    this.drainReason ??= reason;
    this.drainController?.abort(this.drainReason);
  }

  /** How it is logged: only what is part of the handler's context. */
  [Symbol.for("Deno.customInspect")](inspect: typeof Deno.inspect, options: Deno.InspectOptions): string {
    const { method, peer, metadata, deadline, signal, replyMetadata } = this;
    return `CallContext ${inspect({ method, peer, metadata, deadline, signal, replyMetadata }, options)}`;
  }

  /** Whether its handler has waited for its caller for `limit` ms. A wait is measured from the first check that finds it. */
  stalled(now: number, limit: number): boolean {
    const [sent, received] = [this.sendStream?.stats(), this.recvStream?.stats()];
    const waits = sent?.waitsFor === "credit" || sent === undefined && received?.waitsFor === "peer";
    const items = (sent?.items ?? 0) + (received?.items ?? 0);
    if (!waits) this.stall = undefined;
    else if (this.stall?.items !== items) this.stall = { items, since: now };
    return this.stall !== undefined && now - this.stall.since >= limit;
  }

  /** Aborts the signal, and ends the call's streams. */
  abort(reason: RpcError): void {
    this.#reason ??= reason;
    this.#abort?.abort(this.#reason);
    this.recvStream?.fail(this.#reason, true);
    this.sendStream?.stop();
  }
}
