// The interface below sessions: a reliable, ordered, bidirectional stream of bytes. tcp.ts, tls.ts and websocket.ts implement it
// over sockets; a Network implements it over something else.

import type { Address } from "../discovery/endpoint.ts";

import type { PeerCertificate } from "../call/handler.ts";
import type { IpRanges } from "./ip_ranges.ts";

/** One connection, as sessions use it. At most one read and one write may be pending at a time. */
export interface Conn {
  /** The address of the other side for display, such as `tcp@127.0.0.1:50312`. */
  readonly peer: string;
  /** The verified certificate of the other side, if one was requested in the TLS handshake. */
  readonly certificate?: PeerCertificate;
  /**
   * Whether the other side may buffer unread data without a bound, as the WebSockets of browsers do. The session then bounds
   * what it sends ahead.
   */
  readonly buffersUnread?: boolean;
  /**
   * Waits for the header in which a proxy names its client, which is `peer` from then on. Absent where no header is required.
   *
   * @throws {SyntaxError} If the header is missing or invalid
   * @throws {Error} If the connection is lost
   */
  readonly readProxyHeader?: () => Promise<void>;
  /** Resolves when all its resources are free, where the runtime frees them some time after {@linkcode Conn.close}. */
  readonly gone?: Promise<void>;
  /**
   * Reads bytes into the front of `into`.
   *
   * @returns The number of bytes, at least 1; null when the peer has ended its side
   * @throws {Error} If the connection is lost or closed
   */
  read(into: Uint8Array<ArrayBuffer>): Promise<number | null>;
  /**
   * Writes bytes from the front of `from`.
   *
   * @returns The number of bytes, at least 1
   * @throws {Error} If the connection is lost or closed
   */
  write(from: Uint8Array<ArrayBuffer>): Promise<number>;
  /**
   * Ends this side: the peer can read all data up to the end. The peer's side stays open if the transport supports that.
   *
   * @param fault Whether the peer violated the protocol, which a WebSocket reports in its close frame
   */
  closeWrite(fault?: boolean): Promise<void>;
  /** Releases the connection and ends pending reads and writes. Repeated calls have no effect. */
  close(): void;
}

/**
 * Called when connections cannot be accepted at the moment, such as with too many open files. Accepting resumes by itself.
 *
 * @param first Whether this is the first error since a connection was accepted
 */
export type AcceptErrorListener = (error: Error, first: boolean) => void;

/** Options of listeners. */
export interface ListeningOptions {
  /** Called when connections cannot be accepted at the moment. */
  readonly onAcceptError?: AcceptErrorListener;
  /** Called when a connection was reset before it was accepted. */
  readonly onReset?: () => void;
  /** Whether other processes may listen on the same port; not for Unix sockets. */
  readonly reusePort?: boolean;
  /** The addresses from which connections begin with the header of a proxy. */
  readonly proxies?: IpRanges;
}

/** Accepts connections. */
export interface Listener {
  /** The port that it listens on, possibly chosen by the system; 0 if the transport has no ports. */
  readonly port: number;
  /** Waits for the next connection; returns null after `close()`. */
  accept(): Promise<Conn | null>;
  /** Stops listening. Repeated calls have no effect. */
  close(): void;
}

/**
 * Makes connections in place of the system's sockets: an option of servers and clients. `@troodon/rpc/testing` has a simulated
 * one.
 */
export interface Network {
  /**
   * Connects to an address. Everything that the address requires in addition to bytes (TLS, WebSocket frames) is up to the
   * network; the CONNECT request of an `http@` address is not.
   *
   * @param address The parsed address
   * @param signal Cancels the attempt
   * @throws {Error} If the address cannot be reached, or the signal aborts
   */
  dial(address: Address, signal: AbortSignal): Promise<Conn>;
  /**
   * Listens on an address; port 0 uses any free port.
   *
   * @param address The parsed address
   * @throws {Error} If listening fails
   */
  listen(address: Address): Listener | Promise<Listener>;
}

/** Writes all of `bytes`. */
export async function writeAll(conn: Conn, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  while (bytes.length > 0) bytes = bytes.subarray(await conn.write(bytes));
}

/**
 * Validates the option `network`.
 *
 * @throws {TypeError} If it is not a network
 */
export function checkNetwork(network: Network | undefined): Network | undefined {
  if (network === undefined || typeof network?.dial === "function" && typeof network.listen === "function") {
    return network;
  }
  throw new TypeError("Cannot use network: expected an object with dial and listen");
}
