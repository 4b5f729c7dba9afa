// The options of a registry, checked and completed in one place.

import { checkOptions, type Names, shownOption } from "../call/check_options.ts";
import { safeLog } from "../call/log.ts";
import { ENDPOINT_LIMITS, type EndpointLimits } from "../discovery/check_endpoint.ts";
import { checkDuration, checkTtl, type Clock, SYSTEM_CLOCK } from "../discovery/clock.ts";
import { checkTokens, TokenGuard } from "./guard.ts";
import { MemoryStore } from "./memory_store.ts";
import type { RegistryStore } from "./store.ts";

/** Options of `Registry`. */
export interface RegistryOptions {
  /**
   * How long a server stays on the list after its last heartbeat, in ms, 1 to `maxTtl`, unless it asks for
   * another time; Infinity = until it is taken off.
   *
   * @default {10_000}
   */
  ttl?: number;
  /**
   * The longest time that a server may ask for, in ms; one that asks for more gets this. Asking for 0, until it
   * is taken off, is always possible, for servers that cannot send heartbeats.
   *
   * @default {3_600_000}
   */
  maxTtl?: number;
  /** Where leases are kept. A {@linkcode MemoryStore} of its own by default. */
  store?: RegistryStore;
  /**
   * The token that a request must send to change the list, as `Authorization: Bearer TOKEN`. Visible ASCII characters.
   * Of several tokens each is valid, so that a token can be replaced while servers still use the previous one. Without
   * a token, everyone who can reach the registry may change the list.
   */
  token?: string | readonly string[];
  /**
   * Whether the token is needed to read the list and `/metrics` too.
   *
   * @default {false}
   */
  protectReads?: boolean;
  /**
   * How many services one server may have, 0 to 64.
   *
   * @default {64}
   */
  maxServicesPerInstance?: number;
  /**
   * How many characters the name of a service or a version may have, 1 to 128.
   *
   * @default {128}
   */
  maxNameLength?: number;
  /**
   * How many bytes the metadata of one server may have, names and values together, 0 to 4096.
   *
   * @default {4_096}
   */
  maxMetadataBytes?: number;
  /**
   * How many clients may watch at the same time, 1 or more.
   *
   * @default {10_000}
   */
  maxWatchers?: number;
  /** Receives errors of the registry. Silent by default. */
  log?: (message: string) => void;
  /** The time, for tests. The system's monotonic clock by default. */
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

/** The options of a registry, complete. */
export interface RegistrySettings {
  /** 0 = until they are taken off. */
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
  const ttl = checkTtl(options.ttl ?? Math.min(10_000, maxTtl));
  if (ttl > maxTtl) throw new RangeError(`Cannot use ttl of ${ttl}: expected at most maxTtl, ${maxTtl} ms`);
  const { protectReads = false, clock = SYSTEM_CLOCK } = options;
  const guard = options.token === undefined ? undefined : new TokenGuard(checkTokens(options.token));
  if (protectReads && guard === undefined) throw new TypeError("Cannot use protectReads without a token");
  return {
    ttl,
    maxTtl,
    limits: checkLimits(options),
    guard,
    protectReads,
    maxWatchers: checkWhole("maxWatchers", options.maxWatchers ?? 10_000, 1, Number.MAX_SAFE_INTEGER),
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
    maxServices: checkWhole("maxServicesPerInstance", services, 0, maxServices),
    maxNameLength: checkWhole("maxNameLength", names, 1, maxNameLength),
    maxMetadataBytes: checkWhole("maxMetadataBytes", metadata, 0, maxMetadataBytes),
  };
}

function checkWhole(name: string, value: number, min: number, max: number): number {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
  throw new RangeError(
    `Cannot use ${name} ${shownOption(value)}: expected a whole number from ${min} to ${max}`,
  );
}
