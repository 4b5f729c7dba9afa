// Calls by number, in a ring of slots: numbers rise, so each call has a slot of its own as long as the ring is longer than
// the range of numbers in flight. Not a Map: when a Map rehashes, its old table points to the new one. A table that was
// promoted to the old generation keeps all later tables, and the calls in them, from being collected cheaply.
//
// Of a new call only the earliest deadline is noted, as most calls are settled long before theirs. When that deadline passes,
// the calls that are still pending are put in order. So each call is looked at once at most, and again when it is due.

import { DeadlineHeap } from "./deadline_heap.ts";

const FIRST_SLOTS = 16;
/** So many settled calls may be in the heap, besides as many as are pending. */
const MAX_SETTLED = 64;

/** A call of the table. */
export interface NumberedCall {
  readonly seq: number;
  /** On the clock of `performance.now()`; Infinity = none. */
  readonly deadline: number;
}

/** The calls of one side that are not settled. Their numbers rise, and are all odd or all even. */
export class PendingTable<C extends NumberedCall> {
  #slots: (C | undefined)[] = new Array(FIRST_SLOTS).fill(undefined);
  #size = 0;
  /** Calls so old that newer ones took their slots: few, such as long streams. */
  #displaced: Map<number, C> | undefined;
  /** Numbers of calls that were pending at an earlier deadline. */
  #ordered: DeadlineHeap<number> | undefined;
  /** The earliest deadline of the calls after `#lastOrdered`. */
  #newDue = Infinity;
  #last = 0;
  #lastOrdered = 0;

  /** The number of calls. */
  get size(): number {
    return this.#size;
  }

  /** When to ask for calls that are due: no later than the earliest deadline. */
  get due(): number {
    return this.#ordered === undefined ? this.#newDue : Math.min(this.#newDue, this.#ordered.first);
  }

  /** Adds a call, whose number is above all others. */
  add(call: C): void {
    // It grows when it is half full, so a call whose slot is needed is an old one.
    if (this.#size * 2 >= this.#slots.length) this.#grow();
    this.#size++;
    this.#last = call.seq;
    if (call.deadline < this.#newDue) this.#newDue = call.deadline;
    this.#place(call);
  }

  /** The call of that number, if it is in the table. */
  get(seq: number): C | undefined {
    const call = this.#slots[this.#slot(seq)];
    return call?.seq === seq ? call : this.#displaced?.get(seq);
  }

  /** Whether the call of that number is in the table. */
  has(seq: number): boolean {
    return this.get(seq) !== undefined;
  }

  /** Removes the call of that number. Returns whether it was in the table. */
  delete(seq: number): boolean {
    const at = this.#slot(seq);
    if (this.#slots[at]?.seq === seq) this.#slots[at] = undefined;
    else if (this.#displaced?.delete(seq) !== true) return false;
    this.#size--;
    return true;
  }

  /** A snapshot of all calls, oldest first. */
  values(): C[] {
    return [...this.#displaced?.values() ?? [], ...this.#slots.filter((call) => call !== undefined)]
      .sort((a, b) => a.seq - b.seq);
  }

  /** The calls whose deadline has passed, oldest first. They stay in the table, and are not returned again. */
  takeDue(now: number): C[] {
    if (this.#newDue <= now) this.#order();
    if (this.#ordered === undefined) return [];
    const due = this.#ordered.take(now).map(({ key }) => this.get(key)).filter((call) => call !== undefined);
    return due.sort((a, b) => a.seq - b.seq);
  }

  /** Puts the calls in order that were added since this was called last. */
  #order(): void {
    const ordered = this.#ordered ??= new DeadlineHeap();
    const count = (this.#last - this.#lastOrdered) / 2;
    if (count > this.#slots.length) {
      // More than there are in the table.
      for (const { seq, deadline } of this.values()) if (seq > this.#lastOrdered) ordered.add(deadline, seq);
    } else {
      for (let seq = this.#last; seq > this.#lastOrdered; seq -= 2) {
        const call = this.get(seq);
        if (call !== undefined) ordered.add(call.deadline, seq);
      }
    }
    this.#lastOrdered = this.#last;
    this.#newDue = Infinity;
    if (ordered.size > 2 * this.#size + MAX_SETTLED) ordered.retain((_, seq) => this.has(seq));
  }

  #place(call: C): void {
    const at = this.#slot(call.seq);
    const older = this.#slots[at];
    if (older !== undefined) (this.#displaced ??= new Map()).set(older.seq, older);
    this.#slots[at] = call;
  }

  /** The lowest bit is the same for all numbers of one side. Numbers above 2^32 are reduced to their lower bits. */
  #slot(seq: number): number {
    return (seq >>> 1) & (this.#slots.length - 1);
  }

  #grow(): void {
    const calls = this.values();
    this.#slots = new Array(this.#slots.length * 2).fill(undefined);
    this.#displaced = undefined;
    for (const call of calls) this.#place(call);
  }
}
