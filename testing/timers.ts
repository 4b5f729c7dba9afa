// The timers of simulated time, ordered by time and, for equal times, by creation.

/** One timer, and its handle for the user. Like Deno's own handles, it converts to a number. */
export class SimTimer {
  /** When it fires. */
  at: number;
  /** Order of timers with equal times. */
  order: number;
  /** Interval of a repeating timer in ms; undefined = it fires once. */
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

  /** Whether the timer keeps the process alive. Always true, since simulated time waits for all timers. */
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

/** Real timers have small numbers, so these never collide with one. */
const FIRST_ID = 2 ** 40;

/** A binary heap of timers. Canceled timers stay in it until they reach the top. */
export class Timers {
  readonly #heap: SimTimer[] = [];
  readonly #live = new Map<number, SimTimer>();
  #next = FIRST_ID;

  /** Number of pending timers. */
  get size(): number {
    return this.#live.size;
  }

  add(at: number, every: number | undefined, ring: () => void): SimTimer {
    const timer = new SimTimer(this.#next++, at, every, ring);
    this.#live.set(Number(timer), timer);
    this.#push(timer);
    return timer;
  }

  /** Cancels a timer. Returns whether it was created here, fired or not. */
  remove(timer: unknown): boolean {
    const id = Number(timer);
    // A timer of another simulation may have the same number.
    const own = !(timer instanceof SimTimer) || this.#live.get(id) === timer;
    if (own) this.#live.delete(id);
    return id >= FIRST_ID;
  }

  /** The next timer to fire, if any. */
  get first(): SimTimer | undefined {
    for (let top = this.#heap[0]; top !== undefined; top = this.#heap[0]) {
      if (this.#live.has(Number(top))) return top;
      this.#pop();
    }
    return undefined;
  }

  /** Removes the first timer, or reschedules it if it repeats. */
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
