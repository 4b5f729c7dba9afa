// Deadlines of calls, and times of alarms, in order: what is due is found without a look at the others. A binary heap. What
// has become irrelevant stays in it until its time, or until `retain` removes it: when a call is settled, nothing is done here.

/** A key with its deadline. */
export interface Entry<K> {
  readonly at: number;
  readonly key: K;
}

/** Keys by deadline. Times are ms on the clock of `performance.now()`. */
export class DeadlineHeap<K> {
  #heap: Entry<K>[] = [];

  /** The number of keys. */
  get size(): number {
    return this.#heap.length;
  }

  /** The earliest deadline; Infinity = there is no key. */
  get first(): number {
    return this.#heap[0]?.at ?? Infinity;
  }

  /** Adds a key, unless its deadline is Infinity. */
  add(at: number, key: K): void {
    if (at === Infinity) return;
    const heap = this.#heap;
    const entry = { at, key };
    let slot = heap.length;
    while (slot > 0) {
      const above = (slot - 1) >> 1;
      const parent = heap[above]!;
      if (parent.at <= at) break;
      heap[slot] = parent;
      slot = above;
    }
    heap[slot] = entry;
  }

  /** Removes the keys whose deadline has passed, and returns them, earliest first. */
  take(now: number): Entry<K>[] {
    const due: Entry<K>[] = [];
    while (this.first <= now) due.push(this.#pop());
    return due;
  }

  /** Removes the keys that `keeps` is false for. */
  retain(keeps: (at: number, key: K) => boolean): void {
    // A sorted array is a heap.
    this.#heap = this.#heap.filter(({ at, key }) => keeps(at, key)).sort((a, b) => a.at - b.at);
  }

  #pop(): Entry<K> {
    const heap = this.#heap;
    const first = heap[0]!;
    const last = heap.pop()!;
    const { length } = heap;
    if (length === 0) return first;
    let slot = 0;
    for (;;) {
      let below = 2 * slot + 1;
      if (below >= length) break;
      if (below + 1 < length && heap[below + 1]!.at < heap[below]!.at) below++;
      if (heap[below]!.at >= last.at) break;
      heap[slot] = heap[below]!;
      slot = below;
    }
    heap[slot] = last;
    return first;
  }
}
