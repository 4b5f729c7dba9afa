// The seam between a session and whoever answers its calls: names to methods, and what a handler is told.

import type { CallOptions } from "./call_options.ts";
import type { Code } from "./error.ts";
import type { Metadata } from "./metadata.ts";
import type { ServiceClient } from "./typed.ts";
import type { ClientObserver, ServerCallObserver } from "./call_observer.ts";

/** What a handler is told about the call that it answers. */
export interface CallContext {
  /** Who is called, such as `Arith.sum`. */
  readonly method: string;
  /** Who calls. */
  readonly peer: Peer;
  /** What came beside the arguments; empty if nothing did. */
  readonly metadata: Metadata;
  /** When the caller stops waiting, on the clock of `performance.now()`; Infinity = never. */
  readonly deadline: number;
  /**
   * Aborts when nobody waits for the answer any more. Its reason is an `RpcError` that says why: `canceled` by the
   * caller, `deadline_exceeded`, or `unavailable` when the connection is lost.
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
   * What is to travel beside the answer, under the rules of metadata: entries set here before the handler returns or
   * throws are sent with its result or error. A stream's are sent when it ends, so that they may be set until then, in
   * the generator's last lines or its `finally`; one that is canceled sends none. Callers see them by an interceptor.
   */
  readonly replyMetadata: Map<string, string | Uint8Array>;
}

/** A context whose caller an interceptor can name. */
export interface IdentifiedContext extends CallContext {
  /** Says who calls: `peer.identity` from now on. */
  identify?(identity: Identity | undefined): void;
}

/** What a client has shown of itself in the TLS handshake, signed by an authority that the server trusts. */
export interface PeerCertificate {
  /**
   * The attributes of its subject in their order, such as `CN=alice` and `O=Example`: short names as in RFC 4514, and
   * numbers (`2.5.4.97=…`) where there is none.
   */
  readonly subject: readonly string[];
  /** Its alternative names in their order, such as `URI:spiffe://example.org/alice`, `DNS:…`, `email:…`, `IP:…`. */
  readonly alternativeNames: readonly string[];
  /** The SHA-256 of the whole certificate, as pairs of hex digits with colons. */
  readonly fingerprint: string;
}

/**
 * Who a caller is, as `authenticate` or `requireToken` found out: a name, or an object that has one and whatever else
 * handlers need, such as roles. The name is what logs, pages and telemetry show.
 */
export type Identity =
  | string
  | { readonly name: string }
  | { readonly name: string; readonly [detail: string]: unknown };

/**
 * The other side of a connection, which can be called back over it if it has registered services (a client by the
 * `services` option of `connect`). A call back made for a call ends with that call.
 */
export interface Peer {
  /** Its address, such as `tcp@127.0.0.1:50312`. */
  readonly address: string;
  /**
   * The certificate that a client has shown, where the server asks for one (`tls.clientCaCerts`) and the client came over
   * `tls@`; undefined everywhere else.
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
   * Who calls, as `authenticate` found out for the connection, or `requireToken` for this call; undefined where neither
   * has said.
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
  /** Calls one of its methods, as `Client.call` does; nothing is sent twice. */
  call<T = unknown>(method: string, args?: unknown, options?: CallOptions): Promise<T>;
  /** Calls one of its methods that answers with a stream, as `Client.stream` does. */
  stream<T = unknown>(method: string, args?: unknown, options?: CallOptions): AsyncIterableIterator<T>;
  /** One of its services, as `Client.service` makes it. */
  service<S>(name: string): ServiceClient<S>;
}

/**
 * Answers one method: takes the arguments, returns the result or a promise of it.
 *
 * What it throws reaches the caller: an `RpcError` as it is, anything else as `internal` with a fixed text.
 */
// Arguments are what the peer sent; a handler that declares their type vouches for it.
// deno-lint-ignore no-explicit-any
export type Handler = (args: any, context: CallContext) => unknown;

/** One method as a session calls it: the handler and its book-keeping. */
export interface Method {
  /**
   * Whether it stands for unknown names. Interceptors may refuse or answer its calls, but there is no handler: an
   * `unimplemented` that is marked as not started is sent as such.
   */
  readonly unknown?: boolean;
  /** Who watches its calls; absent = nobody. */
  readonly observer?: ServerObserver;
  /** Starts the handler. */
  start(args: unknown, context: CallContext): unknown;
  /**
   * Is told, once for every `start`, that a caller has been answered or is owed no answer any more.
   *
   * @param code Why it failed; undefined if it did not
   * @param elapsed ms from the arrival of the call
   * @param count How many calls this is said of
   */
  answered(code: Code | undefined, elapsed: number, count: number): void;
  /** Is told that a handler has returned, once for every `start`. */
  returned(): void;
}

/** Watches the calls of one method. */
export interface ServerObserver {
  /** Watches the calls that its handlers make back to their callers. */
  readonly back: ClientObserver;
  /** Begins to watch one call, before its handler is started; undefined = nobody needs to. */
  begin(call: CallContext): ServerCallObserver | undefined;
  /** Is told of answers as {@linkcode Method.answered} is. */
  answered(code: Code | undefined, elapsed: number, count: number): void;
}

/**
 * Finds a method by the name in a Call.
 *
 * @throws {RpcError} `unimplemented`, saying which part of the name is unknown
 */
export type Lookup = (method: string, peer: { readonly address: string }) => Method;
