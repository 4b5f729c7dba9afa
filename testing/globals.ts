// Takes the place of global functions for a while, and puts them back.

/** Which property of what is replaced by which value. */
export type Replacement = readonly [owner: object, key: PropertyKey, value: unknown];

/** Globals that stand replaced until this is disposed. */
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

  /** Puts back what was there before. Doing it twice is fine. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const [owner, key, before] of this.#before) {
      if (before !== undefined) Object.defineProperty(owner, key, before);
      else Reflect.deleteProperty(owner, key);
    }
  }
}
