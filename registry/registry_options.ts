// Checks and completes the options of a registry. Used by registry.ts.

import { checkOptions, type Names, shownOption } from "../call/check_options.ts";
import { safeLog } from "../call/log.ts";
import { ENDPOINT_LIMITS, type EndpointLimits } from "../discovery/check_endpoint.ts";
import { checkDuration, type Clock, SYSTEM_CLOCK } from "../discovery/clock.ts";
import { checkTokens, TokenGuard } from "./guard.ts";
import { MemoryStore } from "./memory_store.ts";
import type { RegistryStore } from "./store.ts";

/** Options of `Registry`. */
export interface RegistryOptions {
  /**
   * How long a server stays on the list after its last heartbeat, in ms, 1 to `maxTtl`, unless it requests another
   * duration; 0 = no lease, until it is removed.
   *
   * @default {10_000}
   */
  ttl?: number;
  /**
   * The longest lease that a server may request, in ms; longer requests are shortened to this. 0, until it is
   * removed, is always allowed, for servers that cannot send heartbeats.
   *
   * @default {3_600_000}
   */
  maxTtl?: number;
  /** Where leases are stored. A new {@linkcode MemoryStore} by default. */
  store?: RegistryStore;
  /**
   * The token required for changes to the list, as `Authorization: Bearer TOKEN`. Visible ASCII characters. In a list,
   * every token is valid, so that a token can be rotated while servers still use the previous one. Omitted: every
   * client that can reach the registry may change the list.
   */
  token?: string | readonly string[];
  /**
   * Whether reading the list and `/metrics` requires the token, too.
   *
   * @default {false}
   */
  protectReads?: boolean;
  /**
   * Maximum number of services per server, 0 to 64.
   *
   * @default {64}
   */
  maxServicesPerInstance?: number;
  /**
   * Maximum length of a service name or version, in characters, 1 to 128.
   *
   * @default {128}
   */
  maxNameLength?: number;
  /**
   * Maximum size of a server's metadata, names and values together, in bytes, 0 to 4096.
   *
   * @default {4_096}
   */
  maxMetadataBytes?: number;
  /**
   * Maximum number of concurrent watches, 1 or more.
   *
   * @default {10_000}
   */
  maxWatchers?: number;
  /** Receives messages about internal errors. Nothing is logged by default. */
  log?: (message: string) => void;
  /** The clock, replaceable in tests. The system's monotonic clock by default. */
  clock?: Clock;
}

const NAMES: Names<RegistryOptions> = {
  ttl: true,
  maxTtl: true,
  store: true,
  token: true,
  protectReads: true,
  maxServicesPerInstance: true,
  maxNameLength: true,
  maxMetadataBytes: true,
  maxWatchers: true,
  log: true,
  clock: true,
};

/** The complete options of a registry. */
export interface RegistrySettings {
  /** Default lease in ms; 0 means until the server is removed. */
  readonly ttl: number;
  readonly maxTtl: number;
  readonly limits: EndpointLimits;
  readonly guard: TokenGuard | undefined;
  readonly protectReads: boolean;
  readonly maxWatchers: number;
  readonly clock: Clock;
  readonly store: RegistryStore;
  readonly log: ((message: string) => void) | undefined;
}

/**
 * Checks and completes the options.
 *
 * @throws {TypeError} If an option is unknown or of the wrong type
 * @throws {RangeError} If a number is out of its range
 */
export function registrySettings(options: RegistryOptions): RegistrySettings {
  checkOptions("create registry", options, NAMES);
  const maxTtl = checkDuration("maxTtl", options.maxTtl ?? 3_600_000);
  const ttl = checkDuration("ttl", options.ttl ?? Math.min(10_000, maxTtl), 0);
  if (ttl > maxTtl) throw new RangeError(`Cannot use ttl of ${ttl}: expected at most maxTtl, ${maxTtl} ms`);
  const { protectReads = false, clock = SYSTEM_CLOCK } = options;
  const guard = options.token === undefined ? undefined : new TokenGuard(checkTokens(options.token));
  if (protectReads && guard === undefined) throw new TypeError("Cannot use protectReads without token");
  return {
    ttl,
    maxTtl,
    limits: checkLimits(options),
    guard,
    protectReads,
    maxWatchers: checkRange("maxWatchers", options.maxWatchers ?? 10_000, 1, Number.MAX_SAFE_INTEGER),
    clock,
    store: options.store ?? new MemoryStore({ clock }),
    log: safeLog(options.log),
  };
}

function checkLimits(options: RegistryOptions): EndpointLimits {
  const { maxServices, maxNameLength, maxMetadataBytes } = ENDPOINT_LIMITS;
  const names = options.maxNameLength ?? maxNameLength;
  const services = options.maxServicesPerInstance ?? maxServices;
  const metadata = options.maxMetadataBytes ?? maxMetadataBytes;
  return {
    maxServices: checkRange("maxServicesPerInstance", services, 0, maxServices),
    maxNameLength: checkRange("maxNameLength", names, 1, maxNameLength),
    maxMetadataBytes: checkRange("maxMetadataBytes", metadata, 0, maxMetadataBytes),
  };
}

function checkRange(name: string, value: number, min: number, max: number): number {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
  throw new RangeError(
    `Cannot use ${name} ${shownOption(value)}: expected a whole number from ${min} to ${max}`,
  );
}
