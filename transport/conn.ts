// The seam below sessions: a reliable, ordered stream of bytes both ways. tcp.ts, tls.ts and websocket.ts make them of
// sockets; a Network makes them of something else.

import type { Address } from "../discovery/endpoint.ts";

import type { PeerCertificate } from "../call/handler.ts";

/** One connection, as a session sees it. Only one read and one write may be under way at a time. */
export interface Conn {
  /** Who is on the other side, for people, such as `tcp@127.0.0.1:50312`. */
  readonly peer: string;
  /** What the other side has shown of itself in the TLS handshake, where that was asked for. */
  readonly certificate?: PeerCertificate;
  /**
   * Whether the other side may hold what it has not read without a bound, as the WebSockets of browsers do: then the
   * session bounds what it sends ahead.
   */
  readonly buffersUnread?: boolean;
  /** Resolves when nothing is left of it, where {@linkcode Conn.close} cannot make the runtime let go at once. */
  readonly gone?: Promise<void>;
  /**
   * Reads some bytes into the front of `into`.
   *
   * @returns How many, at least 1; null when the peer has ended its side
   * @throws {Error} If the connection is lost or closed
   */
  read(into: Uint8Array<ArrayBuffer>): Promise<number | null>;
  /**
   * Writes some bytes from the front of `from`.
   *
   * @returns How many, at least 1
   * @throws {Error} If the connection is lost or closed
   */
  write(from: Uint8Array<ArrayBuffer>): Promise<number>;
  /**
   * Ends this side: the peer reads to the end, and its own side stays open, where the transport can do that.
   *
   * @param fault Whether the peer broke the protocol, which a WebSocket says when it closes
   */
  closeWrite(fault?: boolean): Promise<void>;
  /** Frees the connection and ends a read or write under way. Closing twice is fine. */
  close(): void;
}

/**
 * Is told that nothing can be accepted for now, as when there are too many open files; accepting goes on by itself.
 *
 * @param first Whether it is the first time since something was accepted
 */
export type Trouble = (error: Error, first: boolean) => void;

/** How a listener listens. */
export interface ListeningOptions {
  /** Told when nothing can be accepted for a while. */
  readonly trouble?: Trouble;
  /** Whether other processes may listen there too; not for Unix sockets. */
  readonly reusePort?: boolean;
}

/** What accepts connections. */
export interface Listener {
  /** The port it listens on, which may have been chosen by the system; 0 where there are none. */
  readonly port: number;
  /** Waits for the next connection; null after `close()`. */
  accept(): Promise<Conn | null>;
  /** Stops listening. Closing twice is fine. */
  close(): void;
}

/**
 * What connections are made of in the place of sockets: an option of servers and clients. `@troodon/rpc/testing` has
 * one that is simulated.
 */
export interface Network {
  /**
   * Makes a connection to whoever listens on an address. Whatever the address asks for besides bytes (TLS, WebSocket
   * frames) is the network's task; of an `http@` address, CONNECT is not.
   *
   * @param address The address, taken apart
   * @param signal Gives up
   * @throws {Error} If nobody answers there, or the signal aborts
   */
  dial(address: Address, signal: AbortSignal): Promise<Conn>;
  /**
   * Listens on an address; port 0 takes a free one.
   *
   * @param address The address, taken apart
   * @throws {Error} If the address cannot be listened on
   */
  listen(address: Address): Listener | Promise<Listener>;
}

/** Writes all of `bytes`. */
export async function writeAll(conn: Conn, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  while (bytes.length > 0) bytes = bytes.subarray(await conn.write(bytes));
}

/**
 * Checks the option `network`.
 *
 * @throws {TypeError} If it is none
 */
export function checkNetwork(network: Network | undefined): Network | undefined {
  if (network === undefined || typeof network?.dial === "function" && typeof network.listen === "function") {
    return network;
  }
  throw new TypeError("Cannot use network: expected an object with dial and listen");
}
