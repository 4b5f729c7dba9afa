// Turns a WebSocket request into a Conn. Used by HttpRequests for requests on the path of RPC.

import { formatAddress } from "../discovery/endpoint.ts";
import type { Conn } from "../transport/conn.ts";
import { PlatformWebSocketConn } from "../transport/websocket.ts";
import type { FetchInfo } from "../transport/unread_responses.ts";

/**
 * Turns a request into a WebSocket.
 *
 * @param maxHeld Bytes that may wait to be read
 * @returns The Conn and the response that opens it; undefined if the request is malformed
 */
export function upgrade(
  request: Request,
  info: FetchInfo | undefined,
  maxHeld: number,
): { conn: Conn; response: Response } | undefined {
  // Read first: an upgraded request no longer has it.
  const peer = peerOf(request, info);
  try {
    const { socket, response } = Deno.upgradeWebSocket(request);
    return { conn: new PlatformWebSocketConn(socket, peer, maxHeld), response };
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

/** Where a request comes from, as the address of a WebSocket. */
export function peerOf({ url }: Request, info: FetchInfo | undefined): string {
  const transport = url.startsWith("https:") ? "wss" : "ws";
  const address = info?.remoteAddr;
  const { hostname, port } = address ?? {};
  if (hostname === undefined || port === undefined) return `${transport}@unknown`;
  return formatAddress({ transport, hostname, port, path: "/_rpc_" });
}
