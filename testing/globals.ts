// Replaces global functions temporarily.

/** The property of an object to replace, and its new value. */
export type Replacement = readonly [owner: object, key: PropertyKey, value: unknown];

/** Replaced globals, restored on disposal. */
export class Replaced implements Disposable {
  readonly #before: [owner: object, key: PropertyKey, before: PropertyDescriptor | undefined][];
  #disposed = false;

  constructor(replacements: readonly Replacement[]) {
    this.#before = replacements.map(([owner, key, value]) => {
      const before = Object.getOwnPropertyDescriptor(owner, key);
      const enumerable = before?.enumerable ?? true;
      Object.defineProperty(owner, key, { value, enumerable, writable: true, configurable: true });
      return [owner, key, before];
    });
  }

  /** Restores the previous values. Repeated calls have no effect. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const [owner, key, before] of this.#before) {
      if (before !== undefined) Object.defineProperty(owner, key, before);
      else Reflect.deleteProperty(owner, key);
    }
  }
}
