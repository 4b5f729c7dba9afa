// The timers of simulated time: the earliest comes first, and of those for one instant the one that was set first.

/** One timer, and the handle that its user gets. As Deno's own, it can be a number where one is needed. */
export class SimTimer {
  /** When it rings. */
  at: number;
  /** Decides between timers for one instant. */
  order: number;
  /** After how long it rings again; undefined = only once. */
  readonly every: number | undefined;
  readonly #id: number;
  readonly #ring: () => void;

  constructor(id: number, at: number, every: number | undefined, ring: () => void) {
    this.at = at;
    this.order = this.#id = id;
    this.every = every;
    this.#ring = ring;
  }

  ring(): void {
    this.#ring();
  }

  /** Whether the process waits for it; simulated time does in any case. */
  hasRef(): boolean {
    return true;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  [Symbol.toPrimitive](): number {
    return this.#id;
  }
}

/** Real timers have small numbers: these are never taken for one. */
const FIRST_ID = 2 ** 40;

/** A binary heap of timers. Those taken back stay in it until they come up. */
export class Timers {
  readonly #heap: SimTimer[] = [];
  readonly #live = new Map<number, SimTimer>();
  #next = FIRST_ID;

  /** How many are set. */
  get size(): number {
    return this.#live.size;
  }

  add(at: number, every: number | undefined, ring: () => void): SimTimer {
    const timer = new SimTimer(this.#next++, at, every, ring);
    this.#live.set(Number(timer), timer);
    this.#push(timer);
    return timer;
  }

  /** Takes a timer back. Returns whether it is one of these, rung or not. */
  remove(timer: unknown): boolean {
    const id = Number(timer);
    // Another time's timer may have the same number.
    const own = !(timer instanceof SimTimer) || this.#live.get(id) === timer;
    if (own) this.#live.delete(id);
    return id >= FIRST_ID;
  }

  /** The next one to ring, if any. */
  get first(): SimTimer | undefined {
    for (let top = this.#heap[0]; top !== undefined; top = this.#heap[0]) {
      if (this.#live.has(Number(top))) return top;
      this.#pop();
    }
    return undefined;
  }

  /** Takes the first one out, unless it is to ring again: then it is set for its next time. */
  advance(timer: SimTimer): void {
    this.#pop();
    if (timer.every === undefined) {
      this.#live.delete(Number(timer));
      return;
    }
    timer.at += timer.every;
    timer.order = this.#next++;
    this.#push(timer);
  }

  #push(timer: SimTimer): void {
    const heap = this.#heap;
    let index = heap.length;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(timer, heap[parent]!)) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = timer;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = last;
  }
}

function isBefore(a: SimTimer, b: SimTimer): boolean {
  return a.at < b.at || a.at === b.at && a.order < b.order;
}
