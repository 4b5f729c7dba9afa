// The polite end of a connection: this side ends, then the other side's rest is read and thrown away. Closing over
// unread input would make the kernel reset the connection, and the peer would lose what was written last.

import type { Conn } from "./conn.ts";

/** How long the other side's end is waited for, in ms. */
export const LINGER_MS = 1_000;
/** How many bytes are thrown away meanwhile. */
export const LINGER_BYTES = 1_048_576;

/** Reads and throws away until the peer's end, its loss, or `limit` bytes. */
export async function discard(conn: Conn, limit: number): Promise<void> {
  const sink = new Uint8Array(16_384);
  try {
    for (let left = limit; left > 0;) {
      const count = await conn.read(sink);
      if (count === null) return;
      left -= count;
    }
  } catch {
    // Whatever ended it, it has ended.
  }
}

/**
 * Closes a connection politely.
 *
 * @param written What is still being written; in the same time
 */
export async function lingerClose(conn: Conn, written?: Promise<void>): Promise<void> {
  const timer = setTimeout(() => conn.close(), LINGER_MS);
  try {
    await written;
    await conn.closeWrite();
    await discard(conn, LINGER_BYTES);
  } catch {
    // The peer was faster.
  }
  clearTimeout(timer);
  conn.close();
}
