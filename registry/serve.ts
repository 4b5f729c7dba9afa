// Deno.serve, but for as long as the program runs: out of file descriptors, Deno (2.9) gives up listening, and this listens
// again. Used by programs that serve a registry, or a server's fetch, or anything else.

import { safeLog } from "../call/log.ts";
import { sleep, SYSTEM_CLOCK } from "../discovery/clock.ts";

/** How long listening rests, in ms, after an error such as "too many open files"; doubles up to the second. */
const REST = [10, 1_000] as const;

/** Options of {@linkcode serveHttp}. */
export interface ServeHttpOptions {
  /**
   * The address to listen on.
   *
   * @default {"127.0.0.1"}
   */
  hostname?: string;
  /** The port to listen on; 0 takes a free one. */
  port: number;
  /** Ends it at once, without waiting for the requests under way. */
  signal?: AbortSignal;
  /** Called when nothing can be accepted for a while. Nothing is logged by default. */
  log?: (message: string) => void;
}

/** An HTTP server that listens until it is shut down. */
export interface HttpServer extends AsyncDisposable {
  /** Where it listens, with the port that was chosen. */
  readonly addr: Deno.NetAddr;
  /** Accepts nothing more, and resolves when the requests under way are answered. */
  shutdown(): Promise<void>;
}

/**
 * Serves HTTP as `Deno.serve` does, but goes on when the process has run out of file descriptors: `Deno.serve` then stops
 * listening and rejects its `finished`, which ends the process. This listens again after 10 ms, then at growing
 * intervals up to a second; connections that are open are served on.
 *
 * @example
 * ```ts
 * import { Registry, serveHttp } from "@troodon/rpc/registry";
 *
 * await using registry = new Registry();
 * await using http = serveHttp({ port: 0 }, registry.fetch);
 * const list = await fetch(`http://127.0.0.1:${http.addr.port}/_rpc_/registry`);
 * console.log((await list.json()).servers); // []
 * ```
 *
 * @param options Where to listen
 * @param handler Answers requests, such as `registry.fetch` or `server.fetch`
 * @returns The server
 * @throws {Error} If the address is taken, or not allowed
 */
export function serveHttp(options: ServeHttpOptions, handler: Deno.ServeHandler<Deno.NetAddr>): HttpServer {
  const { hostname = "127.0.0.1", port, signal } = options;
  const log = safeLog(options.log);
  const listen = (port: number) => Deno.serve({ hostname, port, signal, onListen: () => {} }, handler);
  const stop = new AbortController();
  let server = listen(port);
  const { addr } = server;

  /** Listens again, as soon as that is possible. */
  const again = async (rest: number) => {
    for (let wait = rest; !stop.signal.aborted; wait = Math.min(wait * 2, REST[1])) {
      await sleep(SYSTEM_CLOCK, wait, stop.signal);
      if (stop.signal.aborted) break;
      try {
        server = listen(addr.port);
        return wait;
      } catch {
        // There are still no descriptors.
      }
    }
    return rest;
  };
  const run = async () => {
    let rest: number = REST[0];
    let logged = false;
    while (!stop.signal.aborted) {
      const began = SYSTEM_CLOCK.now();
      try {
        return await server.finished;
      } catch (error) {
        // One that fails again at once has accepted a few at most.
        if (SYSTEM_CLOCK.now() - began > REST[1]) logged = false;
        rest = logged ? Math.min(rest * 2, REST[1]) : REST[0];
        if (!logged) log?.(`Accepts nothing on port ${addr.port} for now: ${(error as Error).message}`);
        logged = true;
        rest = await again(rest);
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
