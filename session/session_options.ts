// What a session is made of. Filled in by the two places that open sessions: dial.ts and a server's acceptor.

import type { RpcError } from "../call/error.ts";
import type { KeyCache } from "../codec/key_cache.ts";
import type { AlarmClock } from "./alarm_clock.ts";
import type { CallBodies } from "./call_body.ts";
import type { CreateCallee } from "./callee_half.ts";
import type { PeerCallSlots } from "./call_slots.ts";
import type { Agreement } from "./handshake.ts";
import type { LifetimeCheck } from "./lifetime.ts";
import type { LimitCounters } from "./limit_counters.ts";
import type { SessionLimits } from "./limits.ts";
import type { WindowBudget } from "./window_budget.ts";

/** What a session is made of, besides its Conn. */
export interface SessionOptions {
  /** The outcome of the handshake. */
  readonly agreement: Agreement;
  /** Whether this side dialled: then its calls have odd numbers. */
  readonly dialled: boolean;
  /** Bytes that were read after the handshake. */
  readonly prefix: Uint8Array;
  /** How long the handshake took, in ms: at least one round trip. Absent where this side has only answered it. */
  readonly handshakeTime?: number;
  /** What this side allows. */
  readonly limits: SessionLimits;
  /** Counts limits met; shared by all sessions of a client or server. */
  readonly counters: LimitCounters;
  /** When the server ends the connection by itself; absent at clients, and without limits. */
  readonly lifetime?: LifetimeCheck;
  /** Slots for handlers, shared by all connections of a server; absent = there is no limit. */
  readonly slots?: PeerCallSlots;
  /** Wakes the sessions of a client or server. */
  readonly clock: AlarmClock;
  /** Keeps the encoded arguments of their calls. */
  readonly bodies: CallBodies;
  /** The credit that their streams may hold beyond their initial windows. */
  readonly windows: WindowBudget;
  /** Caches the names that their peers have sent. */
  readonly names: KeyCache;
  /** Creates the half that answers the peer's calls; absent = this side answers none. */
  readonly createCallee?: CreateCallee;
  /** Converts what a handler threw to the error that its caller receives. */
  readonly mapError?: (error: unknown) => RpcError | undefined;
  /** Called when calls can be sent again, after `takesCalls` has returned false. */
  readonly room?: () => void;
  /** Called when no more calls can be made over this session, while those in flight may still finish. */
  readonly draining?: () => void;
  /** Called once, when the session is over, with the reason. */
  readonly ended?: (reason: RpcError) => void;
  /** Receives operational messages. */
  readonly log?: (message: string, error?: unknown) => void;
}
