// Assembles the two kinds of node: what each listens on, and how it shuts down.

import {
  announce,
  type Client,
  connect,
  MultiServers,
  RegistryDiscovery,
  RpcError,
  serveHttp,
  Server,
} from "@troodon/rpc";
import { urlHost } from "@troodon/rpc/discovery";
import type { MasterFlags, ReplicaFlags } from "./flags.ts";
import { front } from "./front.ts";
import { ProxyStore } from "./proxy_store.ts";
import { serve, Shortener, type Store } from "./store.ts";
import { UrlStore } from "./url_store.ts";

/** Timeout of calls from a replica to the master, in ms. */
const TIMEOUT = 2_000;

/** A running node. */
export interface Node {
  /** Its kind and addresses, for the user. */
  readonly line: string;
  /** Rejects if the node cannot continue; never resolves. */
  readonly failed: Promise<never>;
  /** Finishes in-flight requests, then stops. */
  stop(): Promise<void>;
}

type Log = (line: string) => void;

/** Starts a master: its file, the service for replicas, the HTTP interface. */
export async function startMaster(flags: MasterFlags, log: Log): Promise<Node> {
  const { rpc, file, registry } = flags;
  const store = UrlStore.open(file, log);
  const server = new Server({ log: (message) => log(message) }).register(Shortener, serve(store));
  const { address } = await server.listen(`tcp@${urlHost(rpc.hostname)}:${rpc.port}`);
  const web = listen(flags, store, log);
  const stopping = new AbortController();
  // If the registry is unreachable, the registration retries while the master already works.
  const registration = registry === undefined
    ? undefined
    : announce(registry, { address, services: [Shortener.name] }, { signal: stopping.signal, log });
  return {
    line: `master at ${web.url}, RPC at ${address}, URLs in ${file}`,
    failed: failure(registration, stopping.signal),
    async stop() {
      stopping.abort();
      await registration?.then((registration) => registration.close(), () => {});
      await Promise.all([web.shutdown(), server.shutdown()]);
      await store.close();
    },
  };
}

/** Starts a replica: a client of the master, and the HTTP interface. Does not require a running master. */
export async function startReplica(flags: ReplicaFlags, log: Log, signal: AbortSignal): Promise<Node> {
  const { master, registry } = flags;
  const client = await connectMaster(flags, log, signal);
  const store = new ProxyStore(client.service(Shortener));
  const web = listen(flags, store, log);
  return {
    line: `replica at ${web.url}, master at ${master ?? `the address from ${registry}`}`,
    failed: new Promise(() => {}),
    async stop() {
      await web.shutdown();
      await client.close();
    },
  };
}

/**
 * Creates the client; it dials the master at the first call. Retries while the registry is unreachable,
 * because only it knows the master.
 */
async function connectMaster(
  { master, registry }: ReplicaFlags,
  log: Log,
  signal: AbortSignal,
): Promise<Client> {
  const discovery = master === undefined
    ? new RegistryDiscovery(registry!, { service: Shortener.name })
    : new MultiServers([master]);
  for (;;) {
    try {
      return await connect(discovery, { timeout: TIMEOUT, connectTimeout: TIMEOUT });
    } catch (error) {
      if (!(error instanceof RpcError) || signal.aborted) throw error;
      log(`${registry}: ${error.message}; retrying`);
    }
  }
}

interface Web {
  readonly url: string;
  shutdown(): Promise<void>;
}

function listen({ http, origin }: MasterFlags | ReplicaFlags, store: Store, log: Log): Web {
  const { hostname, port } = http;
  const host = urlHost(hostname);
  let own = "";
  try {
    const web = serveHttp({ hostname, port, log }, front(store, { origin: () => origin ?? own, log }));
    own = `http://${host}:${web.addr.port}`;
    return { url: `${own}/`, shutdown: () => web.shutdown() };
  } catch (error) {
    const why = error instanceof Deno.errors.AddrInUse ? "the port is in use" : (error as Error).message;
    throw new Error(`cannot listen on ${host}:${port}: ${why}`);
  }
}

/** Rejects when a registration does, unless the node is stopping. */
function failure(registration: Promise<unknown> | undefined, signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    registration?.catch((error) => {
      if (!signal.aborted) reject(error);
    });
  });
}
