// One peer: an RPC server for the others, an HTTP server for everyone, and its place on the registry. Run by main.ts.

import { announce, type Registration, RegistryDiscovery, RpcError, serveHttp, Server } from "@troodon/rpc";
import { Cache, checkWanted } from "./contract.ts";
import { front } from "./front.ts";
import type { Group, GroupOptions } from "./group.ts";
import { Peers } from "./peers.ts";

/** How long a peer that is killed stays on the ring, in ms. Until then its keys are loaded by whoever is asked. */
const LEASE = 3_000;
/** How long requests under way may take to end, in ms. */
const GRACE = 2_000;

/** What a peer is told. */
export interface NodeOptions {
  /** Where it serves HTTP; port 0 = any. */
  readonly http: { readonly hostname: string; readonly port: number };
  /** Where it serves RPC, such as `tcp@127.0.0.1:0`. The other peers must reach it there. */
  readonly rpc: string;
  /** Where the registry is. */
  readonly registry: string;
  /** Makes its groups. */
  readonly groups: (options: GroupOptions) => ReadonlyMap<string, Group>;
  /** The bound of each group, in bytes. */
  readonly maxBytes?: number;
  /** Told of what goes wrong. */
  readonly log?: (message: string) => void;
}

/** A peer that runs. */
export interface Node extends AsyncDisposable {
  /** Its page, such as `http://127.0.0.1:8080/`. */
  readonly url: string;
  /** Its address for other peers. */
  readonly address: string;
  /** Resolves if the registry will never list it, with the reason. */
  readonly failed: Promise<Error>;
}

/**
 * Starts a peer. It answers at once; it gets its share of the keys when the registry knows of it.
 *
 * @throws {Error} If it cannot listen, or an option makes no sense
 */
export async function startNode(options: NodeOptions): Promise<Node> {
  const { log } = options;
  await using started = new AsyncDisposableStack();
  const server = new Server({ log });
  started.defer(() => server.shutdown({ grace: GRACE }));
  const { address } = await server.listen(options.rpc);
  const peers = started.use(
    await Peers.follow(address, new RegistryDiscovery(options.registry, { service: Cache.name })),
  );
  const groups = options.groups({ maxBytes: options.maxBytes, peers, log });
  server.register(Cache, {
    get: (wanted) => {
      const { group, key } = checkWanted(wanted);
      const known = groups.get(group);
      if (known !== undefined) return known.serve(key);
      throw new RpcError("failed_precondition", "Cannot serve this group: it is not here");
    },
  });
  const handle = front({ self: address, groups, peers: () => peers.list });
  const abort = new AbortController();
  const web = serveHttp({ ...options.http, signal: abort.signal, log }, handle);
  started.defer(async () => {
    const timer = setTimeout(() => abort.abort(), GRACE);
    await web.shutdown();
    clearTimeout(timer);
  });
  const registration = register(options.registry, address, log);
  started.defer(() => registration.end(server));
  const running = started.move();
  return {
    url: `http://${hostOf(web.addr)}:${web.addr.port}/`,
    address,
    failed: registration.failed,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** Puts a peer on the registry's list, however long that takes, without waiting for it. */
function register(registry: string, address: string, log?: (message: string) => void) {
  const stop = new AbortController();
  const failed = Promise.withResolvers<Error>();
  let registration: Registration | undefined;
  const announced = announce(registry, { address, services: [Cache.name] }, {
    ttl: LEASE,
    signal: stop.signal,
    log,
  }).then((value) => void (registration = value), (error) => {
    if (!stop.signal.aborted) failed.resolve(error);
  });
  return {
    /** Why it can never be on the list, if so. */
    failed: failed.promise,
    /** Takes it off, lets the others know, and then ends the server. */
    async end(server: Server): Promise<void> {
      if (registration === undefined) stop.abort();
      await announced;
      await registration?.shutdown(server, { grace: GRACE });
    },
  };
}

function hostOf({ hostname }: Deno.NetAddr): string {
  return hostname.includes(":") ? `[${hostname}]` : hostname;
}
