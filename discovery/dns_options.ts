// The options that DnsDiscovery and SrvDiscovery share, checked.

import { checkOptions, type Names } from "../call/check_options.ts";
import { checkDuration, type Clock, sleep, SYSTEM_CLOCK } from "./clock.ts";
import { type DnsResolver, type NameServer, systemResolver } from "./dns_resolver.ts";
import type { PolledListOptions } from "./polled_list.ts";

/** How the servers that DNS names are spoken to. */
export type DnsTransport = "tcp" | "tls" | "http" | "ws" | "wss";

const TRANSPORTS: readonly string[] = ["tcp", "tls", "http", "ws", "wss"] satisfies DnsTransport[];

/** Options of {@linkcode DnsDiscovery} and {@linkcode SrvDiscovery}. Times in ms. */
export interface DnsOptions {
  /**
   * How the servers are spoken to. Over `tls` and `wss` servers are dialed by IP address: set `tls.serverName` of
   * {@linkcode ConnectOptions} to the name in their certificates.
   *
   * @default {"tcp"}
   */
  transport?: DnsTransport;
  /**
   * How often the name is looked up, ±10 %; 1 000 or more. A lost connection brings the next lookup forward, to 5 s after
   * the last one at the earliest.
   *
   * @default {30_000}
   */
  refreshInterval?: number;
  /**
   * How long the last list is kept while DNS answers that there are no records. With `nameServer`, and for SRV records, Deno
   * reports a failing DNS server (SERVFAIL) in the same way: choose a time that outlasts its failures.
   *
   * @default {10_000}
   */
  holdTime?: number;
  /**
   * How long one lookup may take.
   *
   * @default {5_000}
   */
  timeout?: number;
  /**
   * The DNS server to ask. Left out, the system's resolver is used, with `/etc/hosts` and search domains; a process with
   * limited permissions then needs `--allow-net` for the name, and for SRV records for the system's DNS servers.
   */
  nameServer?: NameServer;
  /** What answers queries, in the place of DNS, for tests. */
  resolver?: DnsResolver;
  /** The time, for tests. The system's monotonic clock by default. */
  clock?: Clock;
  /**
   * Where jitter comes from: a number from 0 up to but not 1.
   *
   * @default {Math.random}
   */
  random?: () => number;
}

/** The names of the options, for those who have more. */
export const DNS_OPTION_NAMES: Names<DnsOptions> = {
  transport: true,
  refreshInterval: true,
  holdTime: true,
  timeout: true,
  nameServer: true,
  resolver: true,
  clock: true,
  random: true,
};

/** The checked options, but for what is looked up. */
export interface DnsSettings {
  readonly transport: DnsTransport;
  readonly resolver: DnsResolver;
  readonly list: Pick<PolledListOptions, "refreshInterval" | "holdTime" | "clock" | "random">;
  /** Runs a lookup, which fails after `timeout`. */
  readonly inTime: <T>(signal: AbortSignal, run: (signal: AbortSignal) => Promise<T>) => Promise<T>;
}

/**
 * Checks a name and the options of its lookups.
 *
 * @param name What is looked up
 * @throws {TypeError} If the name or an option is invalid or unknown
 * @throws {RangeError} If a time is out of its range
 */
export function dnsSettings<T extends DnsOptions>(name: string, options: T, names: Names<T>): DnsSettings {
  if (typeof name !== "string" || !/^[\w-]+(?:\.[\w-]+)*\.?$/.test(name) || name.length > 253) {
    throw new TypeError(
      `Cannot discover servers: expected a DNS name, such as api.example, got ${shown(name)}`,
    );
  }
  checkOptions("discover servers", options, names);
  const { transport = "tcp", clock = SYSTEM_CLOCK, random = Math.random } = options;
  if (!TRANSPORTS.includes(transport)) {
    throw new TypeError(`Cannot use transport ${shown(transport)}: expected one of ${TRANSPORTS.join(", ")}`);
  }
  const timeout = checkDuration("timeout", options.timeout ?? 5_000);
  return {
    transport,
    resolver: options.resolver ?? systemResolver(options.nameServer),
    list: {
      refreshInterval: checkDuration("refreshInterval", options.refreshInterval ?? 30_000, 1_000),
      holdTime: checkDuration("holdTime", options.holdTime ?? 10_000, 0),
      clock,
      random,
    },
    inTime: (signal, run) => inTime(clock, timeout, signal, run),
  };
}

/** Fails after `timeout`, and when `signal` aborts, even if the resolver never settles. */
async function inTime<T>(
  clock: Clock,
  timeout: number,
  signal: AbortSignal,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const stop = new AbortController();
  const abort = () => stop.abort();
  signal.addEventListener("abort", abort);
  if (signal.aborted) abort();
  const late = sleep(clock, timeout, stop.signal).then((): never => {
    throw new Error(`no answer within ${timeout} ms`);
  });
  const answer = run(stop.signal);
  try {
    return await Promise.race([answer, late]);
  } finally {
    stop.abort();
    signal.removeEventListener("abort", abort);
    // The loser of the race settles later, and has nothing to add.
    answer.catch(() => {});
    late.catch(() => {});
  }
}

function shown(value: unknown): string {
  return JSON.stringify(value)?.slice(0, 64) ?? String(value);
}
