// The two kinds of node, put together from their parts: what each listens on, and how it ends in good order.

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
import type { MasterFlags, Place, ReplicaFlags } from "./flags.ts";
import { front } from "./front.ts";
import { ProxyStore } from "./proxy_store.ts";
import { serve, Shortener } from "./store.ts";
import { UrlStore } from "./url_store.ts";

/** How long a replica waits for the master before it says that it cannot do that now, in ms. */
const TIMEOUT = 2_000;

/** A node that runs. */
export interface Node {
  /** What it is and where. */
  readonly line: string;
  /** Rejects if it cannot go on; does not resolve. */
  readonly failed: Promise<never>;
  /** Finishes what was begun, then ends. */
  stop(): Promise<void>;
}

type Log = (line: string) => void;

/** Starts a master: its file, the service for replicas, the front. */
export async function startMaster(flags: MasterFlags, log: Log): Promise<Node> {
  const { rpc, file, registry } = flags;
  const store = UrlStore.open(file, log);
  const server = new Server({ log: (message) => log(message) }).register(Shortener, serve(store));
  const host = rpc.hostname.includes(":") ? `[${rpc.hostname}]` : rpc.hostname;
  const { address } = await server.listen(`tcp@${host}:${rpc.port}`);
  const web = listen(flags.http, front(store, { origin: flags.origin, log }), log);
  const stopping = new AbortController();
  // A registry that is away is waited for, and the master works meanwhile.
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

/** Starts a replica: a client of the master, and the front. It starts whether or not the master is there. */
export async function startReplica(flags: ReplicaFlags, log: Log, signal: AbortSignal): Promise<Node> {
  const { master, registry } = flags;
  const client = await connectMaster(flags, log, signal);
  const store = new ProxyStore(client.service(Shortener));
  const web = listen(flags.http, front(store, { origin: flags.origin, log }), log);
  return {
    line: `replica at ${web.url}, master at ${master ?? `what ${registry} says`}`,
    failed: new Promise(() => {}),
    async stop() {
      await web.shutdown();
      await client.close();
    },
  };
}

/** The master is dialled when it is first called. A registry that is away is waited for: only it knows the master. */
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
      log(`${registry}: ${error.message}; trying again`);
    }
  }
}

interface Web {
  readonly url: string;
  shutdown(): Promise<void>;
}

function listen(
  { hostname, port }: Place,
  handler: (request: Request) => Promise<Response>,
  log: Log,
): Web {
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  try {
    const web = serveHttp({ hostname, port, log }, handler);
    return { url: `http://${host}:${web.addr.port}/`, shutdown: () => web.shutdown() };
  } catch (error) {
    const why = error instanceof Deno.errors.AddrInUse ? "the port is in use" : (error as Error).message;
    throw new Error(`cannot listen on ${host}:${port}: ${why}`);
  }
}

/** Rejects when a registration does, unless that was on purpose. */
function failure(registration: Promise<unknown> | undefined, signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    registration?.catch((error) => {
      if (!signal.aborted) reject(error);
    });
  });
}
