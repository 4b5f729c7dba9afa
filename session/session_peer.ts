// The other side of a connection as a handler sees it: where it is, and calls back to it over the same connection. A call
// back is part of answering the call that it is made for: it ends with it.

import type { CallOptions } from "../call/call_options.ts";
import type { CallContext, Identity, Peer, PeerCertificate } from "../call/handler.ts";
import { canceled, deadlineExceeded } from "../call/outcome.ts";
import type { ClientObserver } from "../call/call_observer.ts";
import { type ServiceClient, serviceClient } from "../call/typed.ts";
import { openStream } from "./call_stream.ts";
import type { SessionCall } from "./session_call.ts";
import { type CallDefaults, OutgoingCall } from "./outgoing_call.ts";

/** What calls back need of a session. */
export interface PeerSession {
  /** Where the other side is. */
  readonly address: string;
  /** What the other side has shown of itself, where it was asked. */
  readonly certificate: PeerCertificate | undefined;
  /** Who the other side is, if `authenticate` has said. */
  readonly identity: Identity | undefined;
  /** The time, as deadlines are counted. */
  now(): number;
  /** Calls a method of the other side, to answer a call of its. */
  callBack(call: SessionCall): void;
}

/** As a client's, but for sending again: there is only this one connection. */
const DEFAULTS: CallDefaults = { timeout: 30_000 };

/** One caller, for one of its calls. */
export class SessionPeer implements Peer {
  readonly #session: PeerSession;
  readonly #outer: CallContext;
  readonly #defaults: CallDefaults;
  #identity: Identity | undefined;

  /** @param observer Watches the calls back; absent = nobody does */
  constructor(session: PeerSession, outer: CallContext, observer?: ClientObserver) {
    this.#session = session;
    this.#identity = session.identity;
    this.#outer = outer;
    this.#defaults = observer === undefined ? DEFAULTS : { ...DEFAULTS, observer };
  }

  /** Says who a caller is, for one of its calls. */
  static identify(peer: Peer, identity: Identity | undefined): void {
    if (#session in peer) peer.#identity = identity;
  }

  /** What is the same for all calls of one connection, and for no others: addresses of Unix sockets are not. */
  static connectionOf(peer: Peer): object {
    return #session in peer ? peer.#session : peer;
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

  /** What is shown of it where it is logged. */
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
    else if (call.deadline <= now) call.fail(deadlineExceeded(call.method, true));
    else this.#session.callBack(call);
  }
}
