// First in, first out. Taking from the front of a long array moves all the rest of it each time.

/** A queue of things. */
export class Queue<T> {
  #items: T[] = [];
  #taken = 0;

  get length(): number {
    return this.#items.length - this.#taken;
  }

  /** What comes next. */
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

  /** Puts another in the place of the first. */
  replace(item: T): void {
    this.#items[this.#taken] = item;
  }

  clear(): void {
    this.#items = [];
    this.#taken = 0;
  }
}
