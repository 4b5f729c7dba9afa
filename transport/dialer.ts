// How a client opens connections: the interface, and the implementation for browsers, which have no sockets. The other
// implementation is sockets.ts.

import type { Address } from "../discovery/endpoint.ts";
import type { Conn } from "./conn.ts";
import type { ConnectTlsOptions } from "./tls.ts";
import { dialWebSocket } from "./websocket.ts";

/** What a dialer has to know besides the address. */
export interface DialTerms {
  readonly tls: ConnectTlsOptions;
  /** Maximum number of received bytes that a WebSocket may hold unread. */
  readonly maxHeld: number;
}

/**
 * Connects to an address.
 *
 * @throws {Error} If the address cannot be reached, the runtime cannot dial its transport, or the signal aborts
 */
export type Dialer = (address: Address, terms: DialTerms, signal: AbortSignal) => Promise<Conn>;

/** Dials over the WebSocket of the runtime alone, as browsers have to. */
export const dialWeb: Dialer = async (address, { tls, maxHeld }, signal) => {
  if (address.transport !== "ws" && address.transport !== "wss") {
    throw new Error(
      `only Deno, Node and Bun can dial ${address.transport}@; use ws@ or wss@, which Deno.serve(server.fetch) accepts`,
    );
  }
  if (address.transport === "wss" && (tls.caCerts?.length || tls.cert !== undefined)) {
    throw new Error(
      "the option tls is not possible for wss@ in this runtime, which decides itself which authorities to trust; " +
        "Node reads NODE_EXTRA_CA_CERTS",
    );
  }
  return await dialWebSocket(address, maxHeld, signal);
};
