// What a server tells of itself: in `stats()` and `snapshot()`, and on its pages.

import type { MethodStats } from "../call/method_stats.ts";
import type { FlowStats, SessionStats } from "../session/session_stats.ts";
import type { LimitStats } from "../session/limit_counters.ts";
import type { Refusals } from "./refusals.ts";
import type { NamedStats } from "./stats_sources.ts";

/** What a server has done so far. */
export interface ServerStats {
  /** For how long there has been this server, in ms. */
  readonly uptime: number;
  /** Connections that are open. */
  readonly connections: number;
  /** Connections whose handshake is not done; on an `http@` address, whoever asks for something else is one of them. */
  readonly handshakes: number;
  /** Connections accepted since the start. */
  readonly accepted: number;
  /** Connections refused, or lost before their handshake was done. */
  readonly refused: number;
  /** The same by reason: their sum is `refused`. */
  readonly refusals: Refusals;
  /** How often no connection could be accepted for a while, as when too many files are open. */
  readonly acceptErrors: number;
  /** Calls whose handlers have not returned. */
  readonly inFlight: number;
  /** Calls of methods that this server does not have, without reserved names (`rpc.…`). */
  readonly unknownMethods: number;
  /** Bytes that wait to be written on all connections together. */
  readonly unsentBytes: number;
  /** How often limits were met. */
  readonly limits: LimitStats;
  /** Every method, in the order in which they were registered. */
  readonly methods: readonly MethodStats[];
}

/** What a server is doing now: its figures, and what they are made of. Times in ms. */
export interface ServerSnapshot extends ServerStats {
  /** Calls whose handlers have not returned, without streams: the oldest, oldest first. */
  readonly calls: Truncated<CallSnapshot>;
  /** The same for calls with a stream of arguments, of answers, or both. */
  readonly streams: Truncated<StreamSnapshot>;
  /**
   * The connections: those with the most bytes to be written, and then those with the most calls in flight. Oldest
   * first.
   */
  readonly peers: Truncated<PeerSnapshot>;
  /** What others in this process told of themselves: see `Server.show`. */
  readonly shown: readonly NamedStats[];
}

/** A part of a list that may be long. */
export interface Truncated<T> {
  /** The part: 100 at most. */
  readonly list: readonly T[];
  /** How many there are besides. */
  readonly more: number;
}

/** One call in flight. Nothing of what it carries is told. */
export interface CallSnapshot {
  /** Its method. */
  readonly method: string;
  /** The address of the client that made it. */
  readonly peer: string;
  /** The name of that client's identity, if `authenticate` or `requireToken` has said. */
  readonly identity?: string;
  /** Its number on its connection. */
  readonly seq: number;
  /** How long ago it arrived, in ms. */
  readonly age: number;
  /** How long its caller still waits, in ms; left out if it has set no time. */
  readonly timeLeft?: number;
  /** Whether nobody waits for it any more, while its handler goes on. */
  readonly abandoned: boolean;
}

/** One call in flight that streams. */
export interface StreamSnapshot extends CallSnapshot {
  /** The arguments, if they are a stream. */
  readonly receiving?: FlowStats;
  /** The answer, if that is a stream. */
  readonly sending?: FlowStats;
}

/** One connection. */
export interface PeerSnapshot extends SessionStats {
  /** What it is made of: `tcp`, which that of an `http@` address is too, `tls`, `unix`, `ws` or `wss`. */
  readonly transport: string;
  /** The name of its identity, if `authenticate` has said. */
  readonly identity?: string;
  /** What the other side has shown of itself, where the server asks for certificates. Long texts are cut. */
  readonly certificate?: {
    /** The attributes of its subject, such as `CN=alice`. */
    readonly subject: readonly string[];
    /** Its alternative names, such as `URI:spiffe://example.org/alice`. */
    readonly alternativeNames: readonly string[];
  };
}
