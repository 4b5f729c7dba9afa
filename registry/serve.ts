// Deno.serve, but for as long as the program runs: out of file descriptors, Deno (2.9) gives up listening, and this listens
// again. Used by the registry's program and by the examples.

import { sleep, SYSTEM_CLOCK } from "../discovery/clock.ts";

/** How long listening rests, in ms, after an error such as "too many open files"; doubles up to the second. */
const REST = [10, 1_000] as const;

/** An HTTP server that listens until it is shut down. */
export interface HttpServing extends AsyncDisposable {
  /** Where it listens, with the port that was chosen. */
  readonly addr: Deno.NetAddr;
  /** Accepts nothing more, and waits for the requests under way. */
  shutdown(): Promise<void>;
}

/** Where to listen, and who is told when that is not possible for a while. */
export interface ServeHttpOptions {
  hostname: string;
  port: number;
  /** Ends it without waiting for the requests under way. */
  signal?: AbortSignal;
  log?: (message: string) => void;
  /** What listens. `Deno.serve` unless a test says otherwise. */
  listen?: typeof Deno.serve;
}

/**
 * Serves HTTP. Connections that there are when listening fails are served on.
 *
 * @throws {Error} If the address cannot be listened on
 */
export function serveHttp(
  { log, listen = Deno.serve, ...options }: ServeHttpOptions,
  handler: Deno.ServeHandler<Deno.NetAddr>,
): HttpServing {
  const stop = new AbortController();
  let server = listen({ ...options, onListen: () => {} }, handler);
  const { addr } = server;
  const again = { ...options, port: addr.port, onListen: () => {} };
  const run = async () => {
    let rest: number = REST[0];
    while (!stop.signal.aborted) {
      const began = SYSTEM_CLOCK.now();
      try {
        await server.finished;
        return;
      } catch (error) {
        if (SYSTEM_CLOCK.now() - began > REST[1]) rest = REST[0];
        if (rest === REST[0]) {
          log?.(`Accepts nothing on port ${addr.port} for now: ${(error as Error).message}`);
        }
      }
      for (let listens = false; !listens && !stop.signal.aborted; rest = Math.min(rest * 2, REST[1])) {
        await sleep(SYSTEM_CLOCK, rest, stop.signal);
        if (stop.signal.aborted) return;
        try {
          server = listen(again, handler);
          listens = true;
        } catch {
          // It will be tried again.
        }
      }
    }
  };
  const running = run();
  const shutdown = async () => {
    stop.abort();
    await server.shutdown();
    await running;
  };
  return { addr, shutdown, [Symbol.asyncDispose]: shutdown };
}
