// Compares how often each call was executed with how often it may have been. Servers log the number of each
// call that they execute; the ledger counts them. It keeps the last few million calls, so that its memory is
// bounded.

/** How often a call may have been executed, according to its outcome. */
export const Verdict = {
  /** In flight. */
  Open: 0,
  /** Succeeded: exactly once. */
  Once: 1,
  /** Failed with `notStarted`: never. */
  Never: 2,
  /** Failed otherwise: at most once. */
  AtMostOnce: 3,
  /** Succeeded and idempotent: at least once. */
  AtLeastOnce: 4,
  /** Failed and idempotent: any number of times. */
  Any: 5,
} as const;

const SIZE = 1 << 22;
/** Maximum attempts of an idempotent call. */
const MAX_ATTEMPTS = 4;

/** The result of the comparison. */
export interface Balance {
  /** Logged executions. */
  executions: number;
  /** Calls not marked idempotent that were executed more than once. */
  duplicates: number;
  /** Calls that succeeded without being executed. */
  unexecuted: number;
  /** Calls that were executed although their error said `notStarted`. */
  startedDespiteError: number;
  /** Idempotent calls that were executed more often than the maximum number of attempts. */
  repeatedTooOften: number;
}

/** Counts executions. */
export class Ledger {
  readonly balance: Balance = {
    executions: 0,
    duplicates: 0,
    unexecuted: 0,
    startedDespiteError: 0,
    repeatedTooOften: 0,
  };
  readonly #counts = new Uint8Array(SIZE);
  readonly #verdicts = new Uint8Array(SIZE);
  /** The number of the latest call, starting at 1. */
  #last = 0;
  readonly #logs = new Map<string, Log>();

  /** Assigns a number to a new call. */
  open(): number {
    const slot = ++this.#last % SIZE;
    if (this.#last > SIZE) this.#audit(slot);
    this.#counts[slot] = 0;
    this.#verdicts[slot] = Verdict.Open;
    return this.#last;
  }

  settle(id: number, verdict: number): void {
    this.#verdicts[id % SIZE] = verdict;
  }

  /** Follows the log of a server process. */
  follow(file: string): void {
    this.#logs.set(file, new Log(file));
  }

  /** Reads the rest of the log of a process that has ended. */
  finish(file: string): void {
    const log = this.#logs.get(file);
    if (log === undefined) return;
    this.#logs.delete(file);
    this.#count(log);
    log.close();
  }

  /** Reads the executions logged since the last read. */
  read(): void {
    for (const log of this.#logs.values()) this.#count(log);
  }

  /** Audits the remaining calls, after all servers have stopped executing. */
  close(): Balance {
    this.read();
    for (let id = Math.max(1, this.#last - SIZE + 1); id <= this.#last; id++) this.#audit(id % SIZE);
    for (const file of this.#logs.keys()) this.finish(file);
    return this.balance;
  }

  #count(log: Log): void {
    for (const id of log.read()) {
      this.balance.executions++;
      if (this.#last - id < SIZE) this.#counts[id % SIZE]!++;
      else this.balance.duplicates++; // its slot was reused: it settled long ago
    }
  }

  #audit(slot: number): void {
    const count = this.#counts[slot]!;
    const verdict = this.#verdicts[slot]!;
    const mayRepeat = verdict === Verdict.AtLeastOnce || verdict === Verdict.Any;
    const succeeded = verdict === Verdict.Once || verdict === Verdict.AtLeastOnce;
    if (count > 1 && !mayRepeat) this.balance.duplicates++;
    if (count === 0 && succeeded) this.balance.unexecuted++;
    if (count > 0 && verdict === Verdict.Never) this.balance.startedDespiteError++;
    if (count > MAX_ATTEMPTS) this.balance.repeatedTooOften++;
  }
}

/** The log of a server process, read incrementally. */
class Log {
  readonly #file: Deno.FsFile;
  readonly #chunk = new Uint8Array(65_536);

  constructor(path: string) {
    this.#file = Deno.openSync(path, { read: true, write: true, create: true });
  }

  *read(): Generator<number> {
    for (let count; (count = this.#file.readSync(this.#chunk)) !== null;) {
      if (count % 4 !== 0) throw new Error("The log contains a partial entry");
      yield* new Uint32Array(this.#chunk.buffer, 0, count / 4);
    }
  }

  close(): void {
    this.#file.close();
  }
}
