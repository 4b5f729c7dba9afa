// Calls by number, in a ring of slots: numbers rise, so each call has a slot of its own as long as the ring is longer than
// the range of numbers in flight. Not a Map: when a Map rehashes, its old table points to the new one. A table that was
// promoted to the old generation keeps all later tables, and the calls in them, from being collected cheaply.

const FIRST_SLOTS = 16;

/** The calls of one caller that were sent and are not settled. */
export class PendingTable<C extends { readonly seq: number }> {
  #slots: (C | undefined)[] = new Array(FIRST_SLOTS).fill(undefined);
  #size = 0;
  /** Calls so old that newer ones took their slots: few, such as long streams. */
  #displaced: Map<number, C> | undefined;

  /** The number of calls. */
  get size(): number {
    return this.#size;
  }

  /** Adds a call, whose number no other has. */
  add(call: C): void {
    // It grows when it is half full, so a call whose slot is needed is an old one.
    if (this.#size * 2 >= this.#slots.length) this.#grow();
    this.#size++;
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

  /** Removes the call of that number, if it is in the table. */
  delete(seq: number): void {
    const at = this.#slot(seq);
    if (this.#slots[at]?.seq === seq) this.#slots[at] = undefined;
    else if (this.#displaced?.delete(seq) !== true) return;
    this.#size--;
  }

  /** A snapshot of all calls, oldest first. */
  values(): C[] {
    return [...this.#displaced?.values() ?? [], ...this.#slots.filter((call) => call !== undefined)]
      .sort((a, b) => a.seq - b.seq);
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
