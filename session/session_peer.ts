// The caller of a call as its handler sees it: its address, and calls back to it. A call back is part of answering the
// call that it is made for, and ends with it.

import type { CallOptions } from "../call/call_options.ts";
import { RpcError } from "../call/error.ts";
import type { CallContext, Identity, Peer, PeerCertificate } from "../call/handler.ts";
import { canceled, deadlineExceeded } from "../call/outcome.ts";
import type { ClientObserver } from "../call/call_observer.ts";
import { type ServiceClient, serviceClient } from "../call/typed.ts";
import { openStream } from "./call_stream.ts";
import { type CallDefaults, OutgoingCall } from "./outgoing_call.ts";
import type { SessionCall } from "./session_call.ts";

/** Where a peer is, and how it is called back. */
export interface PeerSession {
  /** Its address. */
  readonly address: string;
  /** The certificate that it has presented, if it was requested. */
  readonly certificate: PeerCertificate | undefined;
  /** Its identity, if `authenticate` has returned one. */
  readonly identity: Identity | undefined;
  /** What all calls of one peer share that has no connection; absent = this object. */
  readonly connection?: object;
  /** The time on the clock of `performance.now()`, from which deadlines are counted. */
  now(): number;
  /** Calls one of its methods; {@linkcode refuseCallBack} where it cannot be called. */
  callBack(call: SessionCall): void;
}

/** Fails a call back to a peer that cannot be called, because nothing leads back to it. */
export function refuseCallBack(call: SessionCall): void {
  const message = `Cannot call ${call.method}: this peer cannot be called back`;
  call.reject(new RpcError("failed_precondition", message, { notStarted: true }));
}

/** As a client's, but nothing is sent again: there is only this one connection. */
const DEFAULTS: CallDefaults = { timeout: 30_000 };

/** The caller of one call. */
export class SessionPeer implements Peer {
  readonly #session: PeerSession;
  readonly #outer: CallContext;
  readonly #defaults: CallDefaults;
  #identity: Identity | undefined;

  /**
   * @param outer The call that is being answered
   * @param observer Observes the calls back
   */
  constructor(session: PeerSession, outer: CallContext, observer?: ClientObserver) {
    this.#session = session;
    this.#identity = session.identity;
    this.#outer = outer;
    this.#defaults = observer === undefined ? DEFAULTS : { ...DEFAULTS, observer };
  }

  /** Sets the identity of a caller, for one of its calls. */
  static identify(peer: Peer, identity: Identity | undefined): void {
    if (#session in peer) peer.#identity = identity;
  }

  /** An object that all calls of one connection share, and no others; addresses of Unix sockets are not distinct. */
  static connectionOf(peer: Peer): object {
    return #session in peer ? peer.#session.connection ?? peer.#session : peer;
  }

  get address(): string {
    return this.#session.address;
  }

  get certificate(): PeerCertificate | undefined {
    return this.#session.certificate;
  }

  get identity(): Identity | undefined {
    return this.#identity;
  }

  call<T>(method: string, args?: unknown, options?: CallOptions): Promise<T> {
    const defaults = this.#defaults;
    return new Promise<unknown>((resolve) => {
      const outer = this.#outer;
      this.#start(new OutgoingCall(method, args, options, defaults, resolve, undefined, undefined, outer));
    }) as Promise<T>;
  }

  stream<T>(method: string, args?: unknown, options?: CallOptions): AsyncIterableIterator<T> {
    return openStream<T>(method, args, options, this.#defaults, (call) => this.#start(call), this.#outer);
  }

  service<S>(name: string): ServiceClient<S> {
    return serviceClient<S>(this, name);
  }

  /** How it is logged. */
  [Symbol.for("Deno.customInspect")](inspect: typeof Deno.inspect, options: Deno.InspectOptions): string {
    const { address, identity } = this;
    return `Peer ${inspect(identity === undefined ? { address } : { address, identity }, options)}`;
  }

  #start(call: OutgoingCall): void {
    const now = this.#session.now();
    const { address } = this.#session;
    call.listener = { address, done() {}, release() {} };
    call.begin(now, address);
    if (call.signal?.aborted) call.fail(canceled(call.method, call.signal.reason, true));
    else if (call.deadline <= now) call.fail(deadlineExceeded(call, true));
    else this.#session.callBack(call);
  }
}
