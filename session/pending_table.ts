// Calls by number, in a ring of slots: numbers rise, so each falls into its own slot as long as the ring is longer than what
// is in flight. Not a Map: the tables that a Map leaves behind as it turns over point to their successors, and one that has
// grown old keeps all that come after it, with the calls in them, from being collected as young.

const FIRST_SLOTS = 16;

/** The calls of one caller that are sent and not settled. */
export class PendingTable<C extends { readonly seq: number }> {
  #slots: (C | undefined)[] = new Array(FIRST_SLOTS).fill(undefined);
  #size = 0;
  /** Calls so old that their numbers' slots came round again: few, such as long streams. */
  #aside: Map<number, C> | undefined;

  /** How many there are. */
  get size(): number {
    return this.#size;
  }

  /** Takes a call up, whose number no other has. */
  add(call: C): void {
    // Half full, it grows; so what is in the way in a ring with room is old.
    if (this.#size * 2 >= this.#slots.length) this.#grow();
    this.#size++;
    this.#place(call);
  }

  /** The call of that number, if it is there. */
  get(seq: number): C | undefined {
    const call = this.#slots[this.#slot(seq)];
    return call?.seq === seq ? call : this.#aside?.get(seq);
  }

  /** Whether the call of that number is there. */
  has(seq: number): boolean {
    return this.get(seq) !== undefined;
  }

  /** Forgets the call of that number, if it is there. */
  delete(seq: number): void {
    const at = this.#slot(seq);
    if (this.#slots[at]?.seq === seq) this.#slots[at] = undefined;
    else if (this.#aside?.delete(seq) !== true) return;
    this.#size--;
  }

  /** All calls, as they are now, oldest first. */
  values(): C[] {
    return [...this.#aside?.values() ?? [], ...this.#slots.filter((call) => call !== undefined)]
      .sort((a, b) => a.seq - b.seq);
  }

  #place(call: C): void {
    const at = this.#slot(call.seq);
    const older = this.#slots[at];
    if (older !== undefined) (this.#aside ??= new Map()).set(older.seq, older);
    this.#slots[at] = call;
  }

  /** Numbers of one side are all odd or all even. Those above 2^32 fall into the same slots as their lower bits. */
  #slot(seq: number): number {
    return (seq >>> 1) & (this.#slots.length - 1);
  }

  #grow(): void {
    const calls = this.values();
    this.#slots = new Array(this.#slots.length * 2).fill(undefined);
    this.#aside = undefined;
    for (const call of calls) this.#place(call);
  }
}
