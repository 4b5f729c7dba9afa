// Graceful close of a connection: ends this side, then reads and discards the other side's remaining data. Closing with unread
// input would make the kernel reset the connection, and the peer would lose the last written data.

import type { Conn } from "./conn.ts";

/** Maximum time to wait for the other side's end, in ms. */
export const LINGER_MS = 1_000;
/** Maximum number of bytes to discard in that time. */
export const LINGER_BYTES = 1_048_576;

/** Reads and discards data until the peer's end, the loss of the connection, or `limit` bytes. */
export async function discard(conn: Conn, limit: number): Promise<void> {
  const sink = new Uint8Array(16_384);
  try {
    for (let remaining = limit; remaining > 0;) {
      const count = await conn.read(sink);
      if (count === null) return;
      remaining -= count;
    }
  } catch {
    // The connection is lost, so there is nothing remaining to read.
  }
}

/**
 * Closes a connection gracefully.
 *
 * @param written Settles when pending writes are done; it has to within the same time
 */
export async function lingerClose(conn: Conn, written?: Promise<void>): Promise<void> {
  const timer = setTimeout(() => conn.close(), LINGER_MS);
  try {
    await written;
    await conn.closeWrite();
    await discard(conn, LINGER_BYTES);
  } catch {
    // The peer has closed the connection first.
  }
  clearTimeout(timer);
  conn.close();
}
