// A first-in, first-out queue. Array.shift() moves all remaining items of a long array each time.

/** A first-in, first-out queue. */
export class Queue<T> {
  #items: T[] = [];
  #taken = 0;

  get length(): number {
    return this.#items.length - this.#taken;
  }

  /** The next item. */
  get first(): T | undefined {
    return this.#items[this.#taken];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    const { first } = this;
    if (this.#taken < this.#items.length) this.#taken++;
    if (this.#taken < 32 || this.#taken * 2 < this.#items.length) return first;
    this.#items = this.#items.slice(this.#taken);
    this.#taken = 0;
    return first;
  }

  /** Replaces the first item. */
  replace(item: T): void {
    this.#items[this.#taken] = item;
  }

  clear(): void {
    this.#items = [];
    this.#taken = 0;
  }
}
