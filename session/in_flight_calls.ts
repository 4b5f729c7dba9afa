// The calls being answered: which handlers are still running, and how many callers still wait. Owned by a CallRunner.
// A call stays in the table until its handler has returned, even when its caller was answered long before.

import type { PeerCallSlots } from "./call_slots.ts";
import type { IncomingCall } from "./incoming_call.ts";
import { PendingTable } from "./pending_table.ts";

/** Calls whose handlers are running, by number. A handler that returns at once never enters the table. */
export class InFlightCalls {
  /** Calls that have not been answered, those whose handlers are just being started included. */
  unanswered = 0;
  /** Created for the first call that is not answered at once: many connections never carry one. */
  #calls: PendingTable<IncomingCall> | undefined;
  readonly #slots: PeerCallSlots | undefined;

  /** @param slots Where each call of the table takes a slot; absent = there is no limit */
  constructor(slots: PeerCallSlots | undefined) {
    this.#slots = slots;
  }

  /** The number of calls in the table. */
  get size(): number {
    return this.#calls?.size ?? 0;
  }

  /** When to ask for calls that are due: no later than the earliest deadline. */
  get due(): number {
    return this.#calls?.due ?? Infinity;
  }

  /** A snapshot of the calls in the table, oldest first. */
  values(): IncomingCall[] {
    return this.#calls?.values() ?? [];
  }

  /** The call of that number, if its handler is running. */
  get(seq: number): IncomingCall | undefined {
    return this.#calls?.get(seq);
  }

  /** Adds a call whose handler has not returned at once. */
  add(call: IncomingCall): void {
    (this.#calls ??= new PendingTable()).add(call);
    this.#slots?.take();
  }

  /** Removes a call whose handler has returned, if it was added. */
  delete(call: IncomingCall): void {
    if (this.#calls?.delete(call.seq)) this.#slots?.release();
  }

  /** The calls whose deadline has passed, oldest first. They stay in the table, and are not returned again. */
  takeDue(now: number): IncomingCall[] {
    return this.#calls?.takeDue(now) ?? [];
  }

  /** Frees memory, as the connection has become quiet. */
  trim(): void {
    if (this.#calls?.size === 0) this.#calls = undefined;
  }
}
