// Calls that a connection has taken and not sent yet: they wait for room, or, if they are large, for their turn. Owned by the
// caller's half of a session.

import { DeadlineHeap } from "./deadline_heap.ts";
import type { SessionCall } from "./session_call.ts";

/** The unsent calls of one connection. */
export class UnsentCalls {
  /** Calls that wait for room, oldest first. */
  readonly waiting: Set<SessionCall> = new Set();
  /** Large calls that wait for their turn, oldest first. They have no number yet, so that small ones can pass them. */
  readonly large: Set<SessionCall> = new Set();
  /** The deadlines of all these, and of some that have left. */
  #deadlines: DeadlineHeap<SessionCall> | undefined;

  /** The number of calls. */
  get size(): number {
    return this.waiting.size + this.large.size;
  }

  /** When to ask for calls that are due: no later than the earliest deadline. */
  get due(): number {
    return this.#deadlines?.first ?? Infinity;
  }

  /** Whether the call has not been sent. */
  has(call: SessionCall): boolean {
    return this.waiting.has(call) || this.large.has(call);
  }

  /** All calls, those that wait for room first. */
  values(): SessionCall[] {
    return [...this.waiting, ...this.large];
  }

  /** Adds a call to one of the sets. */
  add(call: SessionCall, to: Set<SessionCall>): void {
    const deadlines = this.#deadlines ??= new DeadlineHeap();
    if (deadlines.size > 2 * this.size) deadlines.retain((_, each) => this.has(each));
    to.add(call);
    deadlines.add(call.deadline, call);
  }

  /** Removes a call, if it is there. */
  delete(call: SessionCall): void {
    this.waiting.delete(call) || this.large.delete(call);
  }

  /** Forgets the calls that have left, if none is there: nothing keeps them in memory then. */
  trim(): void {
    if (this.#deadlines !== undefined && this.size === 0) this.#deadlines = undefined;
  }

  /** The calls whose deadline has passed, earliest first, and some that have left. They stay, and are not returned again. */
  takeDue(now: number): SessionCall[] {
    return this.#deadlines?.take(now).map(({ key }) => key) ?? [];
  }
}
