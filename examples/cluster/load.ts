// Calls at a steady rate, whatever becomes of them, and who answered.

import { type Client, RpcError } from "../../mod.ts";

/** One call in so many must not be executed twice. */
const BOOK_EVERY = 5;

/** What came of the calls that were begun in one phase. */
export interface Phase {
  readonly name: string;
  calls: number;
  /** Calls that may be repeated, and failed all the same. */
  failedLooks: number;
  /** Calls that may not be repeated, and failed, with or without having been begun. */
  failedBooks: number;
  /** How many each server answered. */
  readonly answered: Map<string, number>;
  /** How long they took, in ms. */
  readonly times: number[];
}

/** Calls a cluster until it is stopped. */
export class Load {
  readonly phases: Phase[] = [];
  /** How often each call that must not be repeated was begun. */
  readonly begun = new Map<number, number>();
  /** Messages of errors, and how often they came. */
  readonly errors = new Map<string, number>();
  readonly #pending = new Set<Promise<void>>();
  #id = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** What servers call back: the book of what was begun. */
  readonly book = {
    begun: (id: number): void => {
      this.begun.set(id, (this.begun.get(id) ?? 0) + 1);
    },
  };

  /** Begins, with `rate` calls a second. */
  start(client: Client, rate: number): void {
    let owed = 0;
    let last = performance.now();
    this.#timer = setInterval(() => {
      const now = performance.now();
      owed += (now - last) / 1_000 * rate;
      last = now;
      for (; owed >= 1; owed--) this.#call(client);
    }, 5);
  }

  /** What is called from here on belongs to a phase of this name. */
  phase(name: string): void {
    this.phases.push({
      name,
      calls: 0,
      failedLooks: 0,
      failedBooks: 0,
      answered: new Map(),
      times: [],
    });
  }

  /** Ends, and waits for the calls under way. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#pending);
  }

  /** Calls that were begun more than once and must not have been. */
  get twice(): number {
    return [...this.begun.values()].filter((count) => count > 1).length;
  }

  #call(client: Client): void {
    const outcome = this.#outcome(client, ++this.#id, this.phases.at(-1)!);
    this.#pending.add(outcome);
    outcome.then(() => this.#pending.delete(outcome));
  }

  async #outcome(client: Client, id: number, phase: Phase): Promise<void> {
    const books = id % BOOK_EVERY === 0;
    phase.calls++;
    const before = performance.now();
    try {
      const server = books
        ? await client.call<string>("Work.book", id, { timeout: 3_000 })
        : await client.call<string>("Work.look", id, { timeout: 3_000, idempotent: true });
      phase.answered.set(server, (phase.answered.get(server) ?? 0) + 1);
    } catch (error) {
      if (books) phase.failedBooks++;
      else phase.failedLooks++;
      const text = error instanceof RpcError ? `${error.code}: ${error.message}` : String(error);
      this.errors.set(text, (this.errors.get(text) ?? 0) + 1);
    }
    phase.times.push(performance.now() - before);
  }
}
