// The types of a server's `stats()` and `snapshot()`, which its page shows too.

import type { MethodStats } from "../call/method_stats.ts";
import type { FlowStats, SessionStats } from "../session/session_stats.ts";
import type { LimitStats } from "../session/limit_counters.ts";
import type { Refusals } from "./refusals.ts";
import type { NamedStats } from "./stats_sources.ts";

/** Counters and gauges of a server. */
export interface ServerStats {
  /** How long ago the server was made, in ms. */
  readonly uptime: number;
  /** Whether the server shuts down: it finishes the calls that it has accepted, and takes no new ones. */
  readonly draining: boolean;
  /** Open connections. */
  readonly connections: number;
  /** Connections in their handshake; on an `http@` address, also those of other HTTP requests. */
  readonly handshakes: number;
  /** Connections accepted since the start. */
  readonly accepted: number;
  /** Connections refused, or lost before their handshake was done. */
  readonly refused: number;
  /** The same by reason; their sum is `refused`. */
  readonly refusals: Refusals;
  /**
   * Connections that ended before a byte arrived, as health checks of balancers do; not among those that were refused, and not
   * logged.
   */
  readonly probes: number;
  /** How often accepting connections failed for a while, for example because too many files were open. */
  readonly acceptErrors: number;
  /** Calls with a running handler. */
  readonly inFlight: number;
  /** Calls of methods that this server does not have; reserved names (`rpc.…`) do not count. */
  readonly unknownMethods: number;
  /** Bytes that wait to be written on all connections together. */
  readonly unsentBytes: number;
  /** How often limits were met. */
  readonly limits: LimitStats;
  /** All methods, in the order of their registration. */
  readonly methods: readonly MethodStats[];
}

/** The stats of a server with its running calls and connections. Times in ms. */
export interface ServerSnapshot extends ServerStats {
  /** Running calls without streams: the oldest ones, oldest first. */
  readonly calls: Truncated<CallSnapshot>;
  /** Running calls with a stream of arguments, of results, or both. */
  readonly streams: Truncated<StreamSnapshot>;
  /**
   * The connections with the most unsent bytes, and then with the most running calls. Oldest first.
   */
  readonly peers: Truncated<PeerSnapshot>;
  /** The stats of the sources that were given to `Server.show`. */
  readonly shown: readonly NamedStats[];
}

/** A part of a list that may be long. */
export interface Truncated<T> {
  /** The part: 100 items at most. */
  readonly list: readonly T[];
  /** How many items are left out. */
  readonly more: number;
}

/** One running call, without its arguments and metadata. */
export interface CallSnapshot {
  /** Its method. */
  readonly method: string;
  /** The address of the client that made it. */
  readonly peer: string;
  /** The name of that client's identity, if `authenticate` or `requireToken` returned one. */
  readonly identity?: string;
  /** Its sequence number on its connection. */
  readonly seq: number;
  /** How long ago it arrived, in ms. */
  readonly age: number;
  /** Time until the caller's deadline, in ms; left out without a deadline. */
  readonly timeLeft?: number;
  /** Whether the call has ended for its caller, while its handler is still running. */
  readonly abandoned: boolean;
}

/** One running call with a stream. */
export interface StreamSnapshot extends CallSnapshot {
  /** The arguments, if they are a stream. */
  readonly receiving?: FlowStats;
  /** The result, if it is a stream. */
  readonly sending?: FlowStats;
}

/** One connection. */
export interface PeerSnapshot extends SessionStats {
  /** The transport: `tcp` (also for `http@` addresses), `tls`, `unix`, `ws` or `wss`. */
  readonly transport: string;
  /** The name of the client's identity, if `authenticate` returned one. */
  readonly identity?: string;
  /** The client's certificate, where the server asks for one. Long texts are truncated. */
  readonly certificate?: {
    /** The attributes of its subject, such as `CN=alice`. */
    readonly subject: readonly string[];
    /** Its alternative names, such as `URI:spiffe://example.org/alice`. */
    readonly alternativeNames: readonly string[];
  };
}
