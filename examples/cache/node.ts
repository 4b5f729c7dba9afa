// One peer: an RPC server for the other peers, an HTTP server for clients, and its registration. Run by
// main.ts.

import { announce, type Registration, RegistryDiscovery, RpcError, serveHttp, Server } from "@troodon/rpc";
import { urlHost } from "@troodon/rpc/discovery";
import { Cache, checkRequest } from "./contract.ts";
import { front } from "./front.ts";
import type { Group, GroupOptions } from "./group.ts";
import { Peers } from "./peers.ts";

/** How long a killed peer stays on the ring, in ms. Until then the other peers load its keys themselves. */
const LEASE = 3_000;
/** How long in-flight requests may take to finish, in ms. */
const GRACE = 2_000;

/** Options of a peer. */
export interface NodeOptions {
  /** Where to serve HTTP; port 0 = any free one. */
  readonly http: { readonly hostname: string; readonly port: number };
  /** Where to serve RPC, such as `tcp@127.0.0.1:0`. The other peers must be able to reach it. */
  readonly rpc: string;
  /** URL of the registry. */
  readonly registry: string;
  /** Creates its groups. */
  readonly groups: (options: GroupOptions) => ReadonlyMap<string, Group>;
  /** The limit of each group, in bytes. */
  readonly maxBytes?: number;
  /** Receives messages about errors. */
  readonly log?: (message: string) => void;
}

/** A running peer. */
export interface Node extends AsyncDisposable {
  /** The URL of its web page, such as `http://127.0.0.1:8080/`. */
  readonly url: string;
  /** Its address for other peers. */
  readonly address: string;
  /** Resolves with the reason if the registry rejects the peer for good. */
  readonly failed: Promise<Error>;
}

/**
 * Starts a peer. It serves at once; it gets its share of the keys when it is registered.
 *
 * @throws {Error} If it cannot listen, or an option is invalid
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
      const { group, key } = checkRequest(wanted);
      const known = groups.get(group);
      if (known !== undefined) return known.serve(key);
      throw new RpcError("failed_precondition", "Cannot serve this group: this peer does not have it");
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
    url: `http://${urlHost(web.addr.hostname)}:${web.addr.port}/`,
    address,
    failed: registration.failed,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** Registers a peer in the background, however long it takes. */
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
    /** The reason why it cannot be registered, if it cannot. */
    failed: failed.promise,
    /** Removes the peer from the list, notifies the others, then shuts down the server. */
    async end(server: Server): Promise<void> {
      if (registration === undefined) stop.abort();
      await announced;
      await registration?.shutdown(server, { grace: GRACE });
    },
  };
}
