// Sends the body of an HTTP response through a simulated network. Used by SimHost.

import type { Link, SimConn } from "./sim_conn.ts";

/** Maximum number of bytes read at once. */
const CHUNK = 65_536;

/**
 * Sends a body over its own connection, subject to the network's delays, partitions and cuts. The body of an event stream
 * lasts until one side ends it.
 *
 * @param link The connection; its first end is on the requesting side
 * @param signal The signal of the request
 * @returns The body on the requesting side
 */
export function carryBody(
  body: ReadableStream<Uint8Array>,
  { ends: [here, there] }: Link,
  signal: AbortSignal,
): ReadableStream<Uint8Array> {
  send(body, there);
  return receive(here, signal);
}

/** Sends the body, until it has ended or the receiver stops reading. */
async function send(body: ReadableStream<Uint8Array>, conn: SimConn): Promise<void> {
  const reader = body.getReader();
  // The receiver sends nothing, and ends the connection when it has received all or stops reading.
  conn.read(new Uint8Array(1)).catch(() => null).then(() => reader.cancel()).catch(() => {});
  // If the body fails while a write is blocked, reset the connection.
  reader.closed.catch(() => conn.reset());
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      for (let sent = 0; sent < value.length;) {
        sent += await conn.write(value.slice(sent, sent + CHUNK));
      }
    }
    conn.close();
  } catch {
    conn.reset();
    await reader.cancel().catch(() => {});
  }
}

/** Receives the body on the requesting side. */
function receive(conn: SimConn, signal: AbortSignal): ReadableStream<Uint8Array> {
  const space = new Uint8Array(CHUNK);
  let abort: () => void;
  const end = () => {
    signal.removeEventListener("abort", abort);
    conn.close();
  };
  return new ReadableStream<Uint8Array>({
    start(controller) {
      abort = () => {
        controller.error(signal.reason);
        end();
      };
      signal.addEventListener("abort", abort);
    },
    async pull(controller) {
      try {
        const count = await conn.read(space);
        if (signal.aborted) return;
        if (count !== null) return controller.enqueue(space.slice(0, count));
        end();
        controller.close();
      } catch (error) {
        if (signal.aborted) return;
        end();
        controller.error(new TypeError("error reading a body from connection", { cause: error }));
      }
    },
    cancel: end,
  }, { highWaterMark: 0 });
}
