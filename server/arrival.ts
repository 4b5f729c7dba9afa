// A connection that is in its handshake, or was refused and is still open. Owned by an Acceptor.

import { RpcError } from "../call/error.ts";
import type { RefusalReason } from "../monitoring/refusals.ts";
import { type Acceptance, refuse } from "../session/handshake.ts";
import type { Conn } from "../transport/conn.ts";
import { refuseHttp } from "../transport/http.ts";
import { TlsFailure } from "../transport/node_conn.ts";
import { WebSocketFault } from "../transport/websocket_frames.ts";

/** A Conn whose handshake is not done. */
export interface Arrival extends Acceptance {
  /** Replaced by a WebSocket over it, if the client asks for one. */
  conn: Conn;
  /** The path of RPC, if the Conn begins with an HTTP head that has not been read. */
  httpPath: string | undefined;
  /** The key of its IP address in the counts per peer, if these are limited. */
  origin: string | undefined;
  /** Whether the Conn has ended without a byte from the client. */
  silent: boolean;
  /** When the handshake must be done, or the refused Conn closed, on the clock of `performance.now()`. */
  due: number;
  /** Ends the wait for `authenticate`. */
  readonly giveUp: () => void;
  /** Resolves when the Conn has become a session, or is closed. */
  done: Promise<void>;
}

/** Begins the handshake of a Conn, which is to be done when the clock of `performance.now()` says `due`. */
export function arrivalOf(
  conn: Conn,
  httpPath: string | undefined,
  origin: string | undefined,
  due: number,
): Arrival {
  const { promise: gone, resolve: giveUp } = Promise.withResolvers<void>();
  const done = Promise.resolve();
  return {
    conn,
    httpPath,
    origin,
    due,
    gone,
    giveUp,
    done,
    answered: false,
    judging: "option",
    silent: true,
  };
}

/** Sends a refusal, as HTTP if the client expects that. */
export function tell({ conn, httpPath }: Arrival, error: RpcError): Promise<void> {
  return httpPath === undefined ? refuse(conn, error) : refuseHttp(conn, error.message);
}

/** Closes a refused Conn. */
export function cut({ conn, giveUp }: Arrival): void {
  conn.close();
  giveUp();
}

/** Why a handshake failed. */
export function reasonOf(cause: unknown, { judging }: Arrival): RefusalReason {
  if (cause instanceof RpcError) return judging;
  if (cause instanceof SyntaxError) return "proxyHeader";
  if (cause instanceof WebSocketFault) return "option";
  return cause instanceof TlsFailure ? "tls" : "lost";
}
