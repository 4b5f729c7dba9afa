// Admission of calls: whether a call still has time, and whether there is room for it. Asked before a handler is
// started. Owned by a CallRunner.

import { RpcError } from "../call/error.ts";
import { deadlineExceeded } from "../call/outcome.ts";
import type { PeerCallSlots } from "./call_slots.ts";
import { CoDel } from "./codel.ts";
import type { InFlightCalls } from "./in_flight_calls.ts";
import type { LimitCounters } from "./limit_counters.ts";
import type { SessionLimits } from "./limits.ts";

/** What limits the calls of one peer. */
export interface AdmissionOptions {
  /** `maxInFlight`: the peer's calls in flight; `maxQueueTime`: how long they may wait for their handlers, in ms. */
  readonly limits: Pick<SessionLimits, "maxInFlight" | "maxQueueTime">;
  /** Counts the refusals of all peers. */
  readonly counters: LimitCounters;
  /** Slots for handlers, shared by all peers of a server; absent = there is no limit. */
  readonly slots?: PeerCallSlots;
}

/** Admits the calls of one peer, in the order of their arrival. */
export class CallAdmission {
  readonly #options: AdmissionOptions;
  readonly #inFlight: InFlightCalls;
  readonly #codel: CoDel;

  constructor(options: AdmissionOptions, inFlight: InFlightCalls) {
    this.#options = options;
    this.#inFlight = inFlight;
    this.#codel = new CoDel(options.limits.maxQueueTime);
  }

  /**
   * Admits a call. Times are on the clock of `performance.now()`.
   *
   * @param arrived When the call arrived
   * @param deadline When its caller stops waiting
   * @param now The time; that of the current turn of the event loop is precise enough
   * @throws {RpcError} Why it is refused: `deadline_exceeded` or `resource_exhausted`
   */
  admit(method: string, arrived: number, deadline: number, now: number): void {
    const { limits, counters, slots } = this.#options;
    if (deadline <= now) {
      counters.expired++;
      throw deadlineExceeded({ method });
    }
    if (this.#inFlight.size >= limits.maxInFlight) {
      counters.maxInFlight++;
      throw exhausted(method, `more than ${limits.maxInFlight} calls are in flight (maxInFlight)`);
    }
    if (slots !== undefined && !slots.admits(now)) {
      counters.maxInFlightTotal++;
      throw exhausted(method, "too many calls are in flight on all connections (maxInFlightTotal)");
    }
    if (!this.#codel.admits(now - arrived, deadline - now, now)) {
      counters.maxQueueTime++;
      const waited = Math.ceil(now - arrived);
      throw exhausted(method, `it has waited ${waited} ms (maxQueueTime)`, waited);
    }
  }
}

/** @param retryAfter In ms */
function exhausted(method: string, why: string, retryAfter?: number): RpcError {
  return new RpcError("resource_exhausted", `Cannot start ${method}: ${why}`, { retryAfter });
}
