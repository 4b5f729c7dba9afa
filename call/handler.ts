// The interface between sessions and the services that answer their calls: method look-up and the handler's context.

import type { CallOptions } from "./call_options.ts";
import type { Code } from "./error.ts";
import type { Metadata } from "./metadata.ts";
import type { ServiceClient } from "./typed.ts";
import type { ClientObserver, ServerCallObserver } from "./call_observer.ts";

/** Information about a call for its handler. */
export interface CallContext {
  /** The full name of the called method, such as `Arith.sum`. */
  readonly method: string;
  /** The caller. */
  readonly peer: Peer;
  /** Metadata sent with the arguments; empty if none. */
  readonly metadata: Metadata;
  /** The caller's deadline in ms, on the clock of `performance.now()`; Infinity = none. */
  readonly deadline: number;
  /**
   * Aborts when the caller no longer waits for the answer. The reason is an `RpcError`: `canceled` by the caller,
   * `deadline_exceeded`, or `unavailable` if the connection is lost.
   */
  readonly signal: AbortSignal;
  /**
   * Aborts when the server drains the connection, because it shuts down or the connection has reached `maxConnectionAge`. The
   * caller still waits for the answer. A stream without an end should end then: otherwise it lasts until the grace of the
   * shutdown has passed. Its reason is an `RpcError` with the code `unavailable`. See `untilDraining`.
   *
   * @example A stream that ends in good order
   * ```ts
   * import { type CallContext, Server } from "@troodon/rpc";
   *
   * new Server().register("Clock", {
   *   async *ticks(_: undefined, { draining }: CallContext) {
   *     while (!draining.aborted) {
   *       yield Date.now();
   *       await new Promise((done) => setTimeout(done, 100));
   *     }
   *   },
   * });
   * ```
   */
  readonly draining: AbortSignal;
  /**
   * Metadata to send with the answer, by the rules of metadata. Entries set before the handler returns or throws are sent
   * with its result or error. For a stream they are sent when it ends, so they can be set until then, such as in the
   * generator's last lines or its `finally`; a canceled stream sends none. Callers read them in an interceptor.
   */
  readonly replyMetadata: Map<string, string | Uint8Array>;
}

/** A context whose `peer.identity` an interceptor can set. */
export interface IdentifiedContext extends CallContext {
  /** Sets `peer.identity`. */
  identify?(identity: Identity | undefined): void;
}

/** The client certificate of a TLS connection, verified against the authorities that the server trusts. */
export interface PeerCertificate {
  /**
   * The attributes of the subject in their order, such as `CN=alice` and `O=Example`. Names are the short ones of RFC 4514,
   * or numbers (`2.5.4.97=…`) for attributes without a short name.
   */
  readonly subject: readonly string[];
  /** The subject alternative names in their order, such as `URI:spiffe://example.org/alice`, `DNS:…`, `email:…`, `IP:…`. */
  readonly alternativeNames: readonly string[];
  /** The SHA-256 of the whole certificate, as pairs of hex digits separated by colons. */
  readonly fingerprint: string;
}

/**
 * The identity of a caller, as returned by `authenticate` or `requireToken`: a name, or an object with a name and any other
 * details that handlers need, such as roles. Logs, pages and telemetry show the name.
 */
export type Identity =
  | string
  | { readonly name: string }
  | { readonly name: string; readonly [detail: string]: unknown };

/**
 * The other side of a connection. It can be called back over the connection if it has registered services (a client does so
 * with the `services` option of `connect`). A call back made by a handler ends with the handler's call.
 */
export interface Peer {
  /** Its address, such as `tcp@127.0.0.1:50312`. */
  readonly address: string;
  /**
   * The client's verified certificate, if the server requests one (`tls.clientCaCerts`) and the client connected over
   * `tls@`; otherwise undefined.
   *
   * @example A service for one client
   * ```ts
   * import { type CallContext, RpcError, Server } from "@troodon/rpc";
   *
   * new Server().register("Vault", {
   *   open(_: undefined, { peer }: CallContext) {
   *     const names = peer.certificate?.alternativeNames ?? [];
   *     if (!names.includes("URI:spiffe://example.org/alice")) {
   *       throw new RpcError("permission_denied", "Only Alice may open the vault");
   *     }
   *     return "open";
   *   },
   * });
   * ```
   */
  readonly certificate?: PeerCertificate;
  /**
   * The caller's identity, as set by `authenticate` for the connection or by `requireToken` for this call; undefined if
   * neither has set one.
   *
   * @example
   * ```ts
   * import { type CallContext, connect, Server } from "@troodon/rpc";
   *
   * const users = new Map([["a long random secret", { name: "alice", admin: true }]]);
   * await using server = new Server({ authenticate: (token = "") => users.get(token) ?? false }).register("Me", {
   *   name: (_: unknown, { peer }: CallContext) => (peer.identity as { name: string }).name,
   * });
   * const { address } = await server.listen("tcp@127.0.0.1:0");
   *
   * await using client = await connect(address, { token: "a long random secret" });
   * console.log(await client.call("Me.name")); // alice
   * ```
   */
  readonly identity?: Identity;
  /** Calls a method of the peer, as `Client.call` does. The call is never sent twice. */
  call<T = unknown>(method: string, args?: unknown, options?: CallOptions): Promise<T>;
  /** Calls a method of the peer that returns a stream, as `Client.stream` does. */
  stream<T = unknown>(method: string, args?: unknown, options?: CallOptions): AsyncIterableIterator<T>;
  /** A typed service of the peer, as `Client.service` returns it. */
  service<S>(name: string): ServiceClient<S>;
}

/**
 * Answers calls of one method: takes the arguments, returns the result or a promise of it.
 *
 * An `RpcError` that it throws reaches the caller unchanged, any other exception as `internal` with a fixed text.
 */
// Arguments are what the peer sent; their declared type is the handler's own claim.
// deno-lint-ignore no-explicit-any
export type Handler = (args: any, context: CallContext) => unknown;

/** One method as sessions use it: the handler and its statistics. */
export interface Method {
  /**
   * Whether this is the placeholder for unknown names. Interceptors may reject or answer its calls, but there is no handler:
   * an `unimplemented` error marked as not started is sent as such.
   */
  readonly unknown?: boolean;
  /** Observer of the calls; absent = not observed. */
  readonly observer?: ServerObserver;
  /** Starts the handler. */
  start(args: unknown, context: CallContext): unknown;
  /**
   * Called once for every `start`, when the caller was answered or no longer expects an answer.
   *
   * @param code The error's code; undefined if the call succeeded
   * @param elapsed Time since the call arrived, in ms
   * @param count The number of calls that this reports
   */
  answered(code: Code | undefined, elapsed: number, count: number): void;
  /** Called once for every `start`, when the handler has returned. */
  returned(): void;
}

/** Observer of the calls of one method. */
export interface ServerObserver {
  /** Observer of the calls that handlers make back to their callers. */
  readonly back: ClientObserver;
  /** Creates the observer of one call, before its handler is started; undefined = this call is not observed. */
  begin(call: CallContext): ServerCallObserver | undefined;
  /** Called for answers as {@linkcode Method.answered} is. */
  answered(code: Code | undefined, elapsed: number, count: number): void;
}

/**
 * Finds a method by its name in a Call frame.
 *
 * @throws {RpcError} `unimplemented` if the service or the method is unknown; the message says which
 */
export type Lookup = (method: string, peer: { readonly address: string }) => Method;
