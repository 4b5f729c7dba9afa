// Keeps a server on a registry's list for as long as it runs. Used by programs that have a server.

import { checkOptions, type Names } from "../call/check_options.ts";
import type { RpcError } from "../call/error.ts";
import { sheltered } from "../call/log.ts";
import { toEndpoint } from "../discovery/check_endpoint.ts";
import { checkDuration, checkTtl, type Clock, sleep, SYSTEM_CLOCK } from "../discovery/clock.ts";
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
   * How long the server stays on the list after its last heartbeat, in ms, 1 or more; Infinity = until it is taken off.
   * The registry may grant less.
   *
   * @default {the registry's own, which is 10_000 unless it is told otherwise}
   */
  ttl?: number;
  /**
   * The time between heartbeats, in ms, 1 or more and less than `ttl`, ±10 %. At most half of the lease that the registry
   * grants: a longer one is shortened to that.
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
   * What the registry asks of those who change its list; a function is called for each request, so that a token can be
   * replaced while the server runs. Left out: nothing is shown.
   */
  token?: string | (() => string | Promise<string>);
  /** Ends the registration, as `close()` does. */
  signal?: AbortSignal;
  /** Told when the registry goes away and when it is back. Nothing is logged by default. */
  log?: (message: string) => void;
  /**
   * Told when somebody drains the server at the registry, with the next heartbeat: clients are not told of it any
   * more, and it may end. Not an error if nothing is done about it.
   */
  onDrain?: () => void;
  /**
   * What asks the registry.
   *
   * @default {fetch}
   */
  fetch?: Fetch;
  /** The time, for tests. The system's monotonic clock by default. */
  clock?: Clock;
  /**
   * Where jitter comes from: a number from 0 up to but not 1.
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

/** A server on a registry's list, kept there by heartbeats until it is closed. */
export interface Registration extends AsyncDisposable {
  /** The address that is on the list. */
  readonly address: string;
  /**
   * Why the last heartbeat failed, such as `unavailable` or `unauthenticated`: the server leaves the list when its lease
   * runs out, unless a later one arrives. Undefined while all is well.
   */
  readonly failure: RpcError | undefined;
  /**
   * Stops the heartbeats and takes the server off the list. Tries again for up to 1 s, and does not reject: if that
   * fails, `log` says so, and the server leaves the list when its lease runs out. Closing twice is fine.
   */
  close(): Promise<void>;
  /**
   * Takes the server off the list, waits 100 ms so that clients which watch know of it, and only then lets the server
   * shut down: nobody is sent to a server that has stopped accepting.
   *
   * @param server What is to shut down, such as a `Server`
   * @param options Handed on to its `shutdown`
   */
  shutdown(server: Shutdownable, options?: { grace?: number }): Promise<void>;
}

/** What can be shut down in good order, such as a `Server`. */
export interface Shutdownable {
  /**
   * Ends in good order.
   *
   * @param options How long calls under way may take to end, in ms
   */
  shutdown(options?: { grace?: number }): Promise<void>;
}

/** How long a registry may take to tell those who watch. */
const TELL_TIME = 100;

/**
 * Puts a server on a registry's list and keeps it there.
 *
 * Resolves once the server is registered. If the registry is away at the start, it is tried again until it
 * answers or the signal aborts, at intervals that grow from 100 ms to a third of that of heartbeats. Afterwards a
 * registry may go away and come back, empty even: heartbeats go on, and register the server again, as paused or
 * draining if that is what the registry has answered last. They never overlap. `failure` says why one has failed.
 *
 * Each call is a new incarnation of its address: from then on the registry refuses heartbeats of one before, and
 * `close()` does not take off one that has come after. Where another has its place, a server goes on trying until
 * that one is gone.
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
 * @param registryUrl Where the registry is, or a list of where the processes are that serve it: the next is asked when
 * one is away; of an origin alone, the path is `/_rpc_/registry`
 * @param instance What is announced: `{ server }`, or an address as clients reach it, and what else the server says of itself
 * @param options Times, and what ends it
 * @returns The registration
 * @throws {TypeError} If the URL, the instance or an option is not one, or clients cannot reach the address
 * @throws {RangeError} If something in them is out of its range
 * @throws {RpcError} If the registry refuses the server, with the registry's code and reason: `unauthenticated` for the
 * token, `resource_exhausted` if it is full; `failed_precondition` if the URL redirects to another origin
 * @throws The signal's reason, if it aborts before the server is registered
 */
export async function announce(
  registryUrl: RegistryUrl,
  instance: Announced,
  options: AnnounceOptions = {},
): Promise<Registration> {
  checkOptions("announce", options, NAMES);
  const ttl = options.ttl === undefined ? undefined : checkTtl(options.ttl);
  const interval = options.interval === undefined ? undefined : checkDuration("interval", options.interval);
  if (ttl && interval !== undefined && interval >= ttl) {
    throw new RangeError(`Cannot use interval of ${interval}: expected less than ttl, ${ttl} ms`);
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
  const log = sheltered(options.log) ?? (() => {});
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
        // It must not end the heartbeats.
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
  // Its abort may have come between the answer and the line above.
  if (signal?.aborted) await close();
  const shutdown = async (server: Shutdownable, options?: { grace?: number }) => {
    await close();
    await sleep(clock, TELL_TIME, new AbortController().signal);
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

/** Refuses what a server can listen on, but no client on another machine can connect to. */
function checkReachable(text: string): void {
  const address = parseAddress(text);
  if (address.transport === "unix" || !isUnspecified(address.hostname)) return;
  const { hostname, transport, port } = address;
  throw new TypeError(
    `Cannot announce ${text}: servers listen on ${hostname}, but no client can reach them by it; ` +
      `give { server } without an address, or the address of this machine as clients know it, such as ` +
      `${transport}@10.0.0.7:${port}`,
  );
}
