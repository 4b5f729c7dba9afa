// Keeps a server registered for as long as it runs. Used by programs that serve calls.

import { checkOptions, type Names, shownOption } from "../call/check_options.ts";
import type { RpcError } from "../call/error.ts";
import { safeLog } from "../call/log.ts";
import { toEndpoint } from "../discovery/check_endpoint.ts";
import { checkDuration, type Clock, sleep, SYSTEM_CLOCK } from "../discovery/clock.ts";
import { type Endpoint, parseAddress } from "../discovery/endpoint.ts";
import {
  checkRegistryToken,
  type Fetch,
  globalFetch,
  type RegistryUrl,
  toRegistryUrls,
} from "../discovery/registry_request.ts";
import { isUnspecified, ownAddress } from "./own_address.ts";
import { LeaseRenewal } from "./lease_renewal.ts";
import { followingRedirects } from "./redirects.ts";

/** Options of {@linkcode announce}. */
export interface AnnounceOptions {
  /**
   * How long the server stays on the list after its last heartbeat, in ms; 0 = no lease, until it is
   * removed. The registry may grant less.
   *
   * @default {the registry's default lease, normally 10_000}
   */
  ttl?: number;
  /**
   * The time between heartbeats, in ms, 1 or more and less than `ttl`, ±10 % jitter. Shortened to half of the
   * lease that the registry grants if it is longer.
   *
   * @default {a third of the lease that the registry grants}
   */
  interval?: number;
  /**
   * How long the registry may take to answer, in ms, 1 or more.
   *
   * @default {2_000}
   */
  timeout?: number;
  /**
   * The token that the registry requires for changes. A function is called for each request, so that the
   * token can be rotated while the server runs. Omitted: no token is sent.
   */
  token?: string | (() => string | Promise<string>);
  /** Closes the registration when aborted, as `close()` does. */
  signal?: AbortSignal;
  /** Called when the registry becomes unreachable and when it is back. Nothing is logged by default. */
  log?: (message: string) => void;
  /**
   * Called when an operator drains this server in the registry (noticed at the next heartbeat). Clients no
   * longer see the server, so it may shut down; doing nothing is not an error.
   */
  onDrain?: () => void;
  /**
   * Sends the requests to the registry.
   *
   * @default {fetch}
   */
  fetch?: Fetch;
  /** The clock, replaceable in tests. The system's monotonic clock by default. */
  clock?: Clock;
  /**
   * Source of the jitter: a number from 0 inclusive to 1 exclusive.
   *
   * @default {Math.random}
   */
  random?: () => number;
}

/** A server that is announced, such as a `Server`. */
export interface AnnouncedServer {
  /** The names of its services. */
  readonly services: readonly string[];
  /** The addresses on which it listens. */
  readonly addresses: readonly string[];
}

/** What is announced: an endpoint, or a server that says what the endpoint leaves out. */
export interface Announced extends Partial<Endpoint> {
  /**
   * The address as clients reach it, which `0.0.0.0` and `[::]` are not. Left out, it is the first address on which `server`
   * listens, with the address of this machine in the place of `0.0.0.0` and `[::]`: that of the environment variable
   * `POD_IP` or `HOST`, if the program may read it (`--allow-env=POD_IP,HOST`), else the one from which this machine
   * connects to the registry.
   */
  readonly address?: string;
  /** The services that it offers. Left out, they are those of `server`, if that is given. */
  readonly services?: readonly string[];
  /** The server, which must have services and listen by now. Needed where `address` is left out. */
  readonly server?: AnnouncedServer;
}

/** The names that are checked: a misspelled one would go unnoticed. */
const INSTANCE_NAMES: Names<Announced> = {
  server: true,
  address: true,
  services: true,
  weight: true,
  version: true,
  metadata: true,
};

const NAMES: Names<AnnounceOptions> = {
  ttl: true,
  interval: true,
  timeout: true,
  token: true,
  signal: true,
  log: true,
  onDrain: true,
  fetch: true,
  clock: true,
  random: true,
};

/** A server's entry in a registry, kept alive by heartbeats until it is closed. */
export interface Registration extends AsyncDisposable {
  /** The registered address. */
  readonly address: string;
  /**
   * Why the last heartbeat failed, such as `unavailable` or `unauthenticated`; undefined if it succeeded. The
   * server leaves the list when its lease expires, unless a later heartbeat succeeds.
   */
  readonly failure: RpcError | undefined;
  /**
   * Stops the heartbeats and removes the server from the list. Retries for up to 1 s and never rejects: on
   * failure it calls `log`, and the server leaves the list when its lease expires. Idempotent.
   */
  close(): Promise<void>;
  /**
   * Removes the server from the list, waits 100 ms for subscribed clients to receive the change, then shuts
   * the server down, so that no client is sent to a server that has stopped accepting.
   *
   * @param server The server to shut down, such as a `Server`
   * @param options Passed to its `shutdown`
   */
  shutdown(server: Shutdownable, options?: { grace?: number }): Promise<void>;
}

/** Anything with a graceful shutdown, such as a `Server`. */
export interface Shutdownable {
  /**
   * Shuts down gracefully.
   *
   * @param options How long in-flight calls may take to finish, in ms
   */
  shutdown(options?: { grace?: number }): Promise<void>;
}

/** How long a registry may take to notify its subscribers, in ms. */
const NOTIFY_TIME = 100;

/**
 * Registers a server with a registry and keeps it registered.
 *
 * Resolves once the server is registered. If the registry is unreachable at the start, retries until it
 * answers or the signal aborts, at intervals that grow from 100 ms to a third of the heartbeat interval.
 * Later the registry may become unreachable, or come back without its list: heartbeats continue and register
 * the server again, paused or draining if that was its last known state. Heartbeats never overlap. `failure`
 * says why the last one failed.
 *
 * Each call is a new incarnation of its address: from then on the registry rejects heartbeats of earlier
 * incarnations, and `close()` does not remove a later one. While a later incarnation is on the list, this
 * server keeps trying until that one is gone.
 *
 * The heartbeats keep the process alive until the registration is closed.
 *
 * @example Usage
 * ```ts
 * import { announce, Registry } from "@troodon/rpc/registry";
 * import { RegistryDiscovery } from "@troodon/rpc/discovery";
 * import { Server } from "@troodon/rpc/server";
 * import { assertEquals } from "@std/assert";
 *
 * await using registry = new Registry();
 * await using http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
 * const url = `http://127.0.0.1:${http.addr.port}`;
 *
 * await using server = new Server().register("Arith", { sum: ({ a, b }: { a: number; b: number }) => a + b });
 * await server.listen("tcp@127.0.0.1:0"); // tcp@0.0.0.0:9000 where clients are on other machines
 * await using registration = await announce(url, { server });
 *
 * const { address } = registration;
 * assertEquals(await new RegistryDiscovery(url).endpoints(), [{ address, services: ["Arith"] }]);
 * ```
 *
 * @param registryUrl The URL of the registry, or one URL for each of its processes: the next is used when one
 * is unreachable. An origin without a path means `/_rpc_/registry`
 * @param instance What is announced: `{ server }`, or the address by which clients reach it (not `0.0.0.0` or `[::]`);
 * and its optional description
 * @param options Intervals, the token, and the signal that closes the registration
 * @returns The registration
 * @throws {TypeError} If the URL, the instance or an option is invalid, or clients cannot reach the address
 * @throws {RangeError} If a value is out of its range
 * @throws {RpcError} If the registry rejects the server, with the registry's code and reason:
 * `unauthenticated` for the token, `resource_exhausted` if it is full; `failed_precondition` if the URL
 * redirects to another origin
 * @throws The signal's reason, if it aborts before the server is registered
 */
export async function announce(
  registryUrl: RegistryUrl,
  instance: Announced,
  options: AnnounceOptions = {},
): Promise<Registration> {
  checkOptions("announce", options, NAMES);
  const ttl = options.ttl === undefined ? undefined : checkDuration("ttl", options.ttl, 0);
  const interval = options.interval === undefined ? undefined : checkDuration("interval", options.interval);
  if (ttl && interval !== undefined && interval >= ttl) {
    throw new RangeError(`Cannot use interval of ${interval}: expected less than ttl, ${ttl} ms`);
  }
  if (typeof instance !== "object" || instance === null) {
    const example = '{ address: "tcp@10.0.0.7:9000", services: ["Arith"] }';
    throw new TypeError(`Cannot announce ${shownOption(instance)}: expected an object such as ${example}`);
  }
  checkOptions("announce", instance, INSTANCE_NAMES);
  const clock = options.clock ?? SYSTEM_CLOCK;
  const random = options.random ?? Math.random;
  const timeout = checkDuration("timeout", options.timeout ?? 2_000);
  const urls = toRegistryUrls(registryUrl);
  const { server, address } = instance;
  if (server !== undefined) checkServer(server);
  const services = instance.services ?? server?.services;
  // What is given is checked before anything is waited for.
  const given = toEndpoint({ ...instance, services, address: address ?? server?.addresses[0] });
  if (address !== undefined) checkReachable(address);
  const endpoint = address !== undefined || server === undefined ? given : toEndpoint({
    ...given,
    address: await ownAddress({
      addresses: server.addresses,
      registries: urls,
      timeout,
      clock,
      random,
      signal: options.signal,
    }),
  });
  const log = safeLog(options.log) ?? (() => {});
  const heartbeat = new LeaseRenewal({
    urls,
    token: checkRegistryToken(options.token),
    instance: endpoint,
    ttl,
    interval,
    timeout,
    fetch: followingRedirects(options.fetch ?? globalFetch),
    clock,
    random,
    log,
    onDrain: () => {
      try {
        options.onDrain?.();
      } catch (error) {
        // An error in the callback must not end the heartbeats.
        log(`announce: onDrain failed: ${error}`);
      }
    },
  });
  const { signal } = options;
  await heartbeat.start(signal);
  const close = () => {
    signal?.removeEventListener("abort", close);
    return heartbeat.close();
  };
  signal?.addEventListener("abort", close);
  // The signal may have aborted before the listener was added.
  if (signal?.aborted) await close();
  const shutdown = async (server: Shutdownable, options?: { grace?: number }) => {
    await close();
    await sleep(clock, NOTIFY_TIME, new AbortController().signal);
    await server.shutdown(options);
  };
  return {
    address: endpoint.address,
    get failure() {
      return heartbeat.failure;
    },
    close,
    shutdown,
    [Symbol.asyncDispose]: close,
  };
}

/** Checks that a server can be announced already. */
function checkServer({ services, addresses }: AnnouncedServer): void {
  if (!Array.isArray(services) || !Array.isArray(addresses)) {
    throw new TypeError("Cannot announce the server: expected an object with services and addresses");
  }
  const missing = services.length === 0 ? "has no services" : addresses.length === 0 ? "does not listen" : "";
  if (missing === "") return;
  throw new TypeError(
    `Cannot announce the server: it ${missing} yet; register its services and listen first`,
  );
}

/** Rejects addresses that a server can listen on but no client on another machine can connect to. */
function checkReachable(text: string): void {
  const address = parseAddress(text);
  if (address.transport === "unix" || !isUnspecified(address.hostname)) return;
  const { hostname, transport, port } = address;
  throw new TypeError(
    `Cannot announce ${text}: ${hostname} is a wildcard to listen on, clients cannot connect to it; expected ` +
      `{ server } without an address, or the address of this machine as clients know it, such as ` +
      `${transport}@10.0.0.7:${port}`,
  );
}
