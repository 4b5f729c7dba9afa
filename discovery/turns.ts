// Gives the event loop to others now and then, during work whose length a peer decides. Used where the answers of a
// registry are read.

/** For how long work may go on before others have their turn, in ms. */
const SLICE = 10;

/** The turns of one piece of work. */
export class Turns {
  #began = performance.now();

  /** Whether it is time to let others have their turn, by {@linkcode Turns.rest}. */
  get over(): boolean {
    return performance.now() - this.#began >= SLICE;
  }

  /** Lets others have their turn, if it is time. */
  async rest(): Promise<void> {
    if (!this.over) return;
    // Not by a Clock: this does not wait for a time.
    await new Promise<void>((resolve) => void setTimeout(resolve, 0));
    this.#began = performance.now();
  }
}
