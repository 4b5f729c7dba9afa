// The body of an HTTP answer on its way through a simulated network. Used by SimHost.

import type { Link, SimConn } from "./sim_conn.ts";

/** As much as is read at once. */
const CHUNK = 65_536;

/**
 * Sends a body over a connection of its own, so that it takes its time, waits for partitions and is cut as anything
 * else, while it lasts: that of a stream of events lasts until one side ends it.
 *
 * @param link Its first end is that of the side which asked
 * @param signal Of the request
 * @returns The body as it arrives
 */
export function carryBody(
  body: ReadableStream<Uint8Array>,
  { ends: [here, there] }: Link,
  signal: AbortSignal,
): ReadableStream<Uint8Array> {
  send(body, there);
  return receive(here, signal);
}

/** At the side that answers: until the body has ended, or nobody takes it any more. */
async function send(body: ReadableStream<Uint8Array>, conn: SimConn): Promise<void> {
  const reader = body.getReader();
  // The other side says nothing, and ends when it has all of it or wants no more.
  conn.read(new Uint8Array(1)).catch(() => null).then(() => reader.cancel()).catch(() => {});
  // Its maker gives it up, while it may be stuck in a write.
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

/** At the side that asked. */
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
