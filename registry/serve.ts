// `Deno.serve` that survives running out of file descriptors: Deno (2.9) then stops listening; this module
// listens again. Used by programs that serve a registry or a server's `fetch`. For Node and Bun: serve_node.ts.

import { safeLog } from "../call/log.ts";
import { sleep, SYSTEM_CLOCK } from "../discovery/clock.ts";
import type { FetchInfo } from "../transport/unread_responses.ts";

/**
 * Delay before listening again after an error such as "too many open files", in ms; doubles up to the second
 * value.
 */
const RETRY_DELAY = [10, 1_000] as const;

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
  /** Stops the server at once when aborted, without waiting for in-flight requests. */
  signal?: AbortSignal;
  /** Called when the server cannot accept connections for a while. Nothing is logged by default. */
  log?: (message: string) => void;
}

/** Handles HTTP requests, such as `registry.fetch` or `server.fetch`. */
export type HttpHandler = (request: Request, info: FetchInfo) => Response | Promise<Response>;

/** An HTTP server that listens until it is shut down. */
export interface HttpServer extends AsyncDisposable {
  /** The address it listens on, with the chosen port. */
  readonly addr: { readonly transport: "tcp" | "udp"; readonly hostname: string; readonly port: number };
  /** Stops accepting, and resolves when the in-flight requests are answered. */
  shutdown(): Promise<void>;
}

/**
 * Serves HTTP like `Deno.serve`, but survives running out of file descriptors: `Deno.serve` then stops
 * listening and rejects its `finished`, which ends the process. This function listens again after 10 ms, then
 * at growing intervals up to 1 s; open connections are served meanwhile.
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
 * @param options The address to listen on
 * @param handler Handles requests, such as `registry.fetch` or `server.fetch`
 * @returns The server
 * @throws {Error} If the address is in use or not allowed, or the runtime is not Deno
 */
export function serveHttp(options: ServeHttpOptions, handler: HttpHandler): HttpServer {
  if (typeof Deno === "undefined") {
    throw new Error("Cannot serve HTTP: this serveHttp requires Deno; import it from @troodon/rpc/node");
  }
  const { hostname = "127.0.0.1", port, signal } = options;
  const log = safeLog(options.log);
  const listen = (port: number) => Deno.serve({ hostname, port, signal, onListen: () => {} }, handler);
  const stop = new AbortController();
  let server = listen(port);
  const { addr } = server;

  /** Listens again as soon as possible. Returns the last delay. */
  const listenAgain = async (delay: number) => {
    for (let wait = delay; !stop.signal.aborted; wait = Math.min(wait * 2, RETRY_DELAY[1])) {
      await sleep(SYSTEM_CLOCK, wait, stop.signal);
      if (stop.signal.aborted) break;
      try {
        server = listen(addr.port);
        return wait;
      } catch {
        // Still no file descriptors.
      }
    }
    return delay;
  };
  const run = async () => {
    let delay: number = RETRY_DELAY[0];
    let logged = false;
    while (!stop.signal.aborted) {
      const startedAt = SYSTEM_CLOCK.now();
      try {
        return await server.finished;
      } catch (error) {
        // A server that fails again at once has accepted few connections, if any: log only the first failure.
        if (SYSTEM_CLOCK.now() - startedAt > RETRY_DELAY[1]) logged = false;
        delay = logged ? Math.min(delay * 2, RETRY_DELAY[1]) : RETRY_DELAY[0];
        if (!logged) {
          log?.(`Cannot accept connections on port ${addr.port}, retrying: ${(error as Error).message}`);
        }
        logged = true;
        delay = await listenAgain(delay);
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
