// The addresses on which a server listens: opening them, accepting connections there, renewing certificates. Owned by a
// Server, whose acceptor takes the connections.

import type { Log } from "../call/log.ts";
import { checkOptions } from "../call/check_options.ts";
import { type Address, formatAddress, parseAddress } from "../discovery/endpoint.ts";
import { eventLoop } from "../session/event_loop.ts";
import type { Conn, Listener, ListeningOptions, Network } from "../transport/conn.ts";
import { IpRanges } from "../transport/ip_ranges.ts";
import { ProxiedConn } from "../transport/proxied_conn.ts";
import { adviceForOldDeno, operatingSystem } from "../transport/runtime.ts";
import { listenTcp, listenUnix } from "../transport/tcp.ts";
import { renewedServerTls, type ServerTlsOptions } from "../transport/tls.ts";
import type { TlsListener } from "../transport/tls_listener.ts";
import type { InheritedListener } from "../transport/node_listener.ts";

/** A socket that listens already, inherited as a file descriptor. */
interface InheritedAddress {
  readonly transport: "fd";
  readonly fd: number;
}

type ListenAddress = Address | InheritedAddress;

/** An address on which a server listens. */
export interface Listening extends AsyncDisposable {
  /**
   * The address to connect to, with the real port. If it is `0.0.0.0` or `[::]`, which stand for all addresses of this
   * machine, clients on other machines need one of its real addresses. For an inherited socket (`fd@3`) it is the
   * address of the socket, or `fd@3` itself if that is a Unix socket, since the runtime does not say its path.
   */
  readonly address: string;
  /**
   * Replaces the certificate, the key or the list of authorities of a `tls@` address; options that are left out stay as
   * they are. New connections use them; existing connections stay open.
   *
   * @param tls What to replace
   * @throws {TypeError} If this is not a `tls@` address, or an option is invalid; the current ones stay in use
   */
  renew(tls: Partial<ServerTlsOptions>): void;
  /** Stops listening; accepted connections stay open. May be called more than once. */
  close(): Promise<void>;
}

/** Options of {@linkcode Server.listen}. */
export interface ListenOptions {
  /**
   * Whether other processes may listen on the same port (`SO_REUSEPORT`), so that a server can use several cores. The
   * system assigns each connection to one process by a hash of its addresses, not by load. All processes must set this
   * option. On Linux only, not for Unix sockets; `tcp@` and `http@` need `--unstable-net`.
   *
   * @default {false}
   */
  reusePort?: boolean;
  /**
   * Requires the header of the PROXY protocol, version 1 or 2, of all connections from the named addresses, and of no others.
   * The header names the client for whom the proxy connects: its address is then that of the peer, for limits, logs,
   * `authenticate`, handlers and the debug page. It has to arrive within `handshakeTimeout`. Name only addresses of proxies
   * that send it: a peer that may send it can claim any address. For `tcp@`, `tls@`, `http@` and inherited TCP sockets.
   */
  proxyProtocol?: ProxyProtocolOptions;
}

/** Which connections come through a proxy that names its client. */
export interface ProxyProtocolOptions {
  /** The proxies: IP addresses, and ranges such as `10.0.0.0/8`. */
  from: readonly string[];
}

/** Options of {@linkcode Listeners}. */
export interface ListenersOptions {
  /** For addresses with `tls@`. */
  readonly tls: ServerTlsOptions | undefined;
  /** Listens instead of sockets. */
  readonly network: Network | undefined;
  readonly log: Log | undefined;
  /** Called when a connection was reset before it was accepted. */
  readonly reset: () => void;
  /** Takes a connection; `httpPath` is the path of RPC where the connection begins with an HTTP head. */
  readonly take: (conn: Conn, httpPath: string | undefined) => void;
}

/** All addresses on which one server listens. */
export class Listeners {
  readonly #options: ListenersOptions;
  /** Each listener, with its address and the end of its accept loop. */
  readonly #open = new Map<Listener, { readonly address: string; readonly accepting: Promise<void> }>();
  #acceptErrors = 0;
  #closed = false;

  constructor(options: ListenersOptions) {
    this.#options = options;
  }

  /** The addresses on which the server listens. */
  get addresses(): string[] {
    return [...this.#open.values()].map(({ address }) => address);
  }

  /** How often accepting a connection has failed. */
  get acceptErrors(): number {
    return this.#acceptErrors;
  }

  /**
   * Listens on an address, as {@linkcode Server.listen} says.
   *
   * @throws {TypeError} If it is no address to listen on, its port cannot be shared, or the server is closed
   * @throws {Error} If the address is taken or not allowed
   */
  async listen(address: string, { reusePort = false, proxyProtocol }: ListenOptions): Promise<Listening> {
    if (this.#closed) throw new TypeError("Cannot listen: the server is closed");
    const parsed = parseListenAddress(address);
    let where = address;
    const onAcceptError = (error: Error, first: boolean) => {
      this.#acceptErrors++;
      if (first) this.#options.log?.(`Cannot accept connections on ${where}, retrying: ${error.message}`);
    };
    const advice = adviceForOldDeno();
    if (advice !== undefined) this.#options.log?.(advice);
    const proxies = proxiesOf(address, parsed, proxyProtocol);
    const listener = await this.#bind(parsed, address, {
      onAcceptError,
      onReset: this.#options.reset,
      reusePort,
      proxies,
    });
    where = boundAddress(parsed, listener);
    if (this.#closed) {
      listener.close();
      throw new TypeError("Cannot listen: the server is closed");
    }
    const httpPath = parsed.transport === "http" ? parsed.path : undefined;
    // Over TLS the listener reads the header, which comes before TLS.
    const accepting = this.#accept(listener, httpPath, parsed.transport === "tls" ? undefined : proxies);
    this.#open.set(listener, { address: where, accepting });
    const close = async () => {
      listener.close();
      this.#open.delete(listener);
      await accepting;
    };
    let { tls } = this.#options;
    const renew = (changes: Partial<ServerTlsOptions>) => {
      if (parsed.transport !== "tls" || this.#options.network !== undefined || tls === undefined) {
        throw new TypeError(`Cannot renew ${where}: only tls@ addresses have a certificate`);
      }
      const renewed = renewedServerTls(tls, changes);
      try {
        (listener as TlsListener).renew(renewed);
      } catch (error) {
        throw located(error, `Cannot renew ${where}`);
      }
      tls = renewed;
    };
    return {
      address: where,
      renew,
      close,
      [Symbol.asyncDispose]: close,
    };
  }

  /** Closes all listeners; resolves when their accept loops have ended. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const listener of this.#open.keys()) listener.close();
    await Promise.all([...this.#open.values()].map(({ accepting }) => accepting));
    this.#open.clear();
  }

  async #bind(parsed: ListenAddress, address: string, listening: ListeningOptions): Promise<Listener> {
    const { transport } = parsed;
    if (transport === "ws" || transport === "wss") {
      throw new TypeError(
        `Cannot listen on ${address}: listen on http@, which accepts WebSockets too, or pass server.fetch to ` +
          "Deno.serve (with a certificate for wss@)",
      );
    }
    const { tls, network } = this.#options;
    if (transport === "tls" && tls === undefined && network === undefined) {
      throw new TypeError(`Cannot listen on ${address}: give the server a certificate, as its option tls`);
    }
    const hasPort = transport !== "unix" && transport !== "fd";
    if (listening.reusePort && !(hasPort && operatingSystem() === "linux")) {
      throw new TypeError(
        `Cannot listen on ${address}: only ports can be shared, and on Linux alone (reusePort)`,
      );
    }
    try {
      if (!("withResolvers" in Promise)) throw new Error("servers require Node 22 or later, Bun or Deno");
      if (transport === "fd") {
        if (network !== undefined) throw new TypeError("the option network has no inherited sockets");
        const { listenInherited } = await import("../transport/node_listener.ts");
        return await listenInherited(parsed.fd, listening);
      }
      if (network !== undefined) return await network.listen(parsed);
      if (transport === "tls") {
        const { listenTls } = await import("../transport/tls_listener.ts");
        return await listenTls(parsed, tls!, listening);
      }
      if (typeof Deno === "undefined") {
        const { listenNodeTcp, listenNodeUnix } = await import("../transport/node_listener.ts");
        return await (transport === "unix"
          ? listenNodeUnix(parsed, listening)
          : listenNodeTcp(parsed, listening));
      }
      return transport === "unix" ? await listenUnix(parsed, listening) : listenTcp(parsed, listening);
    } catch (error) {
      throw located(error, `Cannot listen on ${address}`);
    }
  }

  async #accept(
    listener: Listener,
    httpPath: string | undefined,
    proxies: IpRanges | undefined,
  ): Promise<void> {
    eventLoop.enter();
    try {
      for (;;) {
        const conn = await listener.accept();
        if (conn === null) return;
        const proxied = proxies?.includes(hostOf(conn.peer)) === true;
        this.#options.take(proxied ? new ProxiedConn(conn) : conn, httpPath);
        await eventLoop.yieldIfDue();
      }
    } finally {
      eventLoop.leave();
    }
  }
}

/**
 * Checks the option `proxyProtocol`.
 *
 * @throws {TypeError} If it is invalid, or the address has no place for a header
 */
function proxiesOf(
  address: string,
  { transport }: ListenAddress,
  options: ProxyProtocolOptions | undefined,
): IpRanges | undefined {
  if (options === undefined) return undefined;
  checkOptions<ProxyProtocolOptions>(`listen on ${address} (proxyProtocol)`, options, { from: true });
  if (transport === "unix") {
    throw new TypeError(`Cannot listen on ${address}: proxyProtocol is for tcp@, tls@ and http@`);
  }
  try {
    return new IpRanges(options.from);
  } catch (error) {
    throw located(error, `Cannot use proxyProtocol.from`);
  }
}

function parseListenAddress(text: string): ListenAddress {
  if (typeof text !== "string" || !text.startsWith("fd@")) return parseAddress(text, { listen: true });
  if (/^fd@(?:[3-9]|[1-9][0-9]{1,5})$/.test(text)) return { transport: "fd", fd: Number(text.slice(3)) };
  throw new TypeError(
    `Cannot listen on ${
      JSON.stringify(text)
    }: expected a file descriptor, such as fd@3, the first socket of systemd`,
  );
}

/** The address on which a listener listens, with the real port. */
function boundAddress(parsed: ListenAddress, listener: Listener): string {
  if (parsed.transport === "fd") return (listener as InheritedListener).address;
  return formatAddress(parsed.transport === "unix" ? parsed : { ...parsed, port: listener.port });
}

function hostOf(peer: string): string {
  const address = parseAddress(peer, { listen: true });
  return address.transport === "unix" ? "" : address.hostname;
}

/** The same error, of the same class, with what could not be done, such as "Cannot listen on" and an address. */
function located(error: unknown, failed: string): unknown {
  if (!(error instanceof Error)) return error;
  const message = `${failed}: ${error.message}`;
  return Reflect.construct(error.constructor, [message, { cause: error }]);
}
