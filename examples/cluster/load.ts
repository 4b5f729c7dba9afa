// Generates calls at a steady rate, whatever their outcomes, and records which server answered.

import { type Client, RpcError } from "../../mod.ts";

/** One call in this many is not idempotent. */
const BOOK_EVERY = 5;

/** The outcomes of the calls started in one phase. */
export interface Phase {
  readonly name: string;
  calls: number;
  /** Idempotent calls that failed after all attempts. */
  failedLooks: number;
  /** Non-idempotent calls that failed, whether or not they were started. */
  failedBooks: number;
  /** Number of calls answered by each server. */
  readonly answered: Map<string, number>;
  /** Durations of the calls, in ms. */
  readonly times: number[];
}

/** Calls a cluster until it is stopped. */
export class Load {
  readonly phases: Phase[] = [];
  /** How often each non-idempotent call was executed. */
  readonly executions = new Map<number, number>();
  /** Number of errors, by message. */
  readonly errors = new Map<string, number>();
  readonly #pending = new Set<Promise<void>>();
  #id = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** The service that servers call back to record executions. */
  readonly book = {
    started: (id: number): void => {
      this.executions.set(id, (this.executions.get(id) ?? 0) + 1);
    },
  };

  /** Starts to make `rate` calls per second. */
  start(client: Client, rate: number): void {
    let due = 0;
    let last = performance.now();
    this.#timer = setInterval(() => {
      const now = performance.now();
      due += (now - last) / 1_000 * rate;
      last = now;
      for (; due >= 1; due--) this.#call(client);
    }, 5);
  }

  /** Assigns the following calls to a new phase. */
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

  /** Stops, and waits for the calls in flight. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#pending);
  }

  /** Number of non-idempotent calls that were executed more than once. */
  get twice(): number {
    return [...this.executions.values()].filter((count) => count > 1).length;
  }

  #call(client: Client): void {
    const outcome = this.#outcome(client, ++this.#id, this.phases.at(-1)!);
    this.#pending.add(outcome);
    outcome.then(() => this.#pending.delete(outcome));
  }

  async #outcome(client: Client, id: number, phase: Phase): Promise<void> {
    const isBook = id % BOOK_EVERY === 0;
    phase.calls++;
    const before = performance.now();
    try {
      const server = isBook
        ? await client.call<string>("Work.book", id, { timeout: 3_000 })
        : await client.call<string>("Work.look", id, { timeout: 3_000, idempotent: true });
      phase.answered.set(server, (phase.answered.get(server) ?? 0) + 1);
    } catch (error) {
      if (isBook) phase.failedBooks++;
      else phase.failedLooks++;
      const text = error instanceof RpcError ? `${error.code}: ${error.message}` : String(error);
      this.errors.set(text, (this.errors.get(text) ?? 0) + 1);
    }
    phase.times.push(performance.now() - before);
  }
}
