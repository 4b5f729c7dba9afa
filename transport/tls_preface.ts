// What comes before TLS on an accepted socket: the header of a proxy, where one is required, and the first byte, which shows
// whether the client speaks TLS at all. Used by TlsListener.

import type { Socket } from "node:net";
import { parseProxyHeader, type ProxyHeader } from "./proxy_header.ts";
import { TlsFailure } from "./node_conn.ts";
import { gotInstead, isTlsRecord } from "./wrong_protocol.ts";

/** What came before TLS. */
export interface Preface {
  /** The header of a proxy, if one has to come. */
  readonly header: ProxyHeader | undefined;
  /** Why the TLS handshake will fail: the client does not speak TLS. */
  readonly mismatch: TlsFailure | undefined;
}

/**
 * Reads up to the first byte of TLS, and leaves that to be read.
 *
 * @param proxied Whether the header of a proxy has to come first
 * @throws {SyntaxError} If the header is missing or invalid
 * @throws {TlsFailure} If the client disconnects
 */
export async function readPreface(socket: Socket, proxied: boolean): Promise<Preface> {
  let held = new Uint8Array(0);
  let header: ProxyHeader | undefined;
  for (;;) {
    const chunk = await nextChunk(socket);
    if (chunk === null) throw disconnected(held.length === (header?.length ?? 0));
    held = concat(held, chunk);
    if (proxied && header === undefined) header = parseProxyHeader(held);
    if (proxied && header === undefined) continue;
    const rest = held.subarray(header?.length ?? 0);
    if (rest.length === 0) continue;
    socket.unshift(rest);
    const mismatch = isTlsRecord(rest[0])
      ? undefined
      : new TlsFailure(`The TLS handshake failed: expected TLS${gotInstead(rest)}`);
    return { header, mismatch };
  }
}

function disconnected(silent: boolean): TlsFailure {
  return new TlsFailure("The TLS handshake failed: the client disconnected", silent);
}

/** The next bytes of a socket; null if it has ended or is lost. */
function nextChunk(socket: Socket): Promise<Uint8Array | null> {
  return new Promise((resolve) => {
    const settle = (chunk: Uint8Array | null) => {
      socket.off("readable", look).off("end", end).off("close", end);
      resolve(chunk);
    };
    const end = () => settle(null);
    const look = () => {
      const chunk: Uint8Array | null = socket.read();
      if (chunk !== null) settle(chunk);
    };
    if (socket.destroyed || socket.readableEnded) return resolve(null);
    socket.on("readable", look).on("end", end).on("close", end);
    look();
  });
}

function concat(a: Uint8Array<ArrayBuffer>, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
