// Gives the event loop to others now and then, during work whose length a peer decides. Used where the answers of a
// registry are read.

/** For how long work may go on before others have their turn, in ms. */
const SLICE = 10;
/** How long something takes, in ms, that is waited for while others have their turn. */
const WAIT = 1;

/** The slice of one piece of work. */
export class TimeSlice {
  #worked = 0;
  #since = performance.now();

  /** Whether it is time to let others have their turn, by {@linkcode TimeSlice.yieldIfDue}. */
  get expired(): boolean {
    return this.#worked + performance.now() - this.#since >= SLICE;
  }

  /** Waits for something, which is no work. */
  async wait<T>(promise: Promise<T>): Promise<T> {
    const began = performance.now();
    this.#worked += began - this.#since;
    const value = await promise;
    this.#since = performance.now();
    // What is there at once comes without a turn of the event loop.
    if (this.#since - began >= WAIT) this.#worked = 0;
    return value;
  }

  /** Lets others have their turn, if it is time. */
  async yieldIfDue(): Promise<void> {
    if (!this.expired) return;
    // Not by a Clock: this does not wait for a time.
    await new Promise<void>((resolve) => void setTimeout(resolve, 0));
    this.#worked = 0;
    this.#since = performance.now();
  }
}
