// Dials TCP and Unix sockets over Node's sockets, for clients in Node and Bun. TLS is in tls_dial.ts.

import type { NetConnectOpts, Socket } from "node:net";
import { formatAddress, type UnixAddress } from "../discovery/endpoint.ts";
import type { Conn } from "./conn.ts";
import { NodeConn } from "./node_conn.ts";
import { nodeModule } from "./runtime.ts";
import { type HostAndPort, whileFull } from "./tcp.ts";

/**
 * Dials a host and port over TCP. If the name has several addresses, Node tries one after the other.
 *
 * @throws {Error} If the address cannot be reached, or the signal aborts
 */
export function dialNodeTcp({ hostname, port }: HostAndPort, signal: AbortSignal): Promise<Conn> {
  const peer = formatAddress({ transport: "tcp", hostname, port });
  return dialSocket({ host: hostname, port, noDelay: true }, peer, signal);
}

/**
 * Dials a Unix socket. Retries while the socket's backlog is full.
 *
 * @throws {Error} If the address cannot be reached, or the signal aborts
 */
export function dialNodeUnix(address: UnixAddress, signal: AbortSignal): Promise<Conn> {
  return whileFull(() => dialSocket({ path: address.path }, formatAddress(address), signal), signal);
}

async function dialSocket(options: NetConnectOpts, peer: string, signal: AbortSignal): Promise<Conn> {
  signal.throwIfAborted();
  const { connect } = nodeModule<typeof import("node:net")>("node:net");
  const socket = connect({ ...options, allowHalfOpen: true });
  const conn = new NodeConn(socket, peer);
  socket.on("connect", () => conn.open(socket));
  return await untilOpen(socket, conn, signal);
}

/**
 * Waits until a socket that is being dialed is open, and closes it if that fails.
 *
 * @throws {Error} If it fails, or the signal aborts
 */
export async function untilOpen(socket: Socket, conn: NodeConn, signal: AbortSignal): Promise<Conn> {
  socket.on("error", (error) => conn.fail(firstOf(error)));
  socket.on("close", () => conn.fail(new Error("the server closed the connection while it was opened")));
  const stop = () => conn.close();
  signal.addEventListener("abort", stop);
  try {
    await conn.opened();
    return conn;
  } catch (error) {
    conn.close();
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** The error of the first address: if no address of a name can be reached, Node's error has an empty message. */
function firstOf(error: Error): Error {
  return error.message === "" && error instanceof AggregateError ? error.errors[0] ?? error : error;
}
