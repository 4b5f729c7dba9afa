// Dials a WebSocket in Deno: over the same sockets as tcp@ and tls@, with the frames of websocket_conn.ts. Used by
// sockets.ts; other runtimes use the platform's WebSocket through websocket.ts.

import { type HttpAddress, urlHost } from "../discovery/endpoint.ts";
import type { Conn } from "./conn.ts";
import { requestWebSocket } from "./http.ts";
import { LineReader } from "./line_reader.ts";
import { dialTcp } from "./tcp.ts";
import { type ConnectTlsOptions, dialTls } from "./tls.ts";
import { dialShowing } from "./tls_dial.ts";
import { WebSocketConn } from "./websocket_conn.ts";

/** The ALPN protocol of HTTP over TLS. */
const ALPN = ["http/1.1"];

/**
 * Dials a WebSocket.
 *
 * @param maxMessageBytes The longest message accepted
 * @throws {Error} If no connection can be made, the server's certificate is invalid, or the signal aborts
 */
export async function dialWebSocketConn(
  address: HttpAddress,
  tls: ConnectTlsOptions,
  maxMessageBytes: number,
  signal: AbortSignal,
): Promise<Conn> {
  const { transport, hostname, port, path } = address;
  const conn = transport === "ws"
    ? await dialTcp(address, signal)
    : await (tls.cert === undefined ? dialTls : dialShowing)(address, tls, signal, ALPN);
  const stop = () => conn.close();
  signal.addEventListener("abort", stop);
  try {
    signal.throwIfAborted();
    const name = urlHost(hostname);
    const usual = transport === "ws" ? 80 : 443;
    const reader = new LineReader(conn);
    await requestWebSocket(conn, reader, path, port === usual ? name : `${name}:${port}`);
    const peer = `${transport}@${name}:${port}`;
    return new WebSocketConn(conn, { peer, dialled: true, maxMessageBytes, prefix: reader.rest() });
  } catch (error) {
    conn.close();
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
