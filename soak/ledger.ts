// What each call is allowed to have done, held against what was done. Servers write the number of each call that they
// execute; here they are counted. Holds the latest few million calls, so that its memory never grows.

/** How often a call was executed, going by what its caller was told. */
export const Verdict = {
  /** It is still under way. */
  Open: 0,
  /** It went well: exactly once. */
  Once: 1,
  /** It was not started, or so its error said: never. */
  Never: 2,
  /** It may have been: once at most. */
  AtMostOnce: 3,
  /** It went well and may be repeated: at least once. */
  AtLeastOnce: 4,
  /** It may be repeated, and did not go well. */
  Any: 5,
} as const;

const SIZE = 1 << 22;
/** How often a call that may be repeated is sent at most. */
const MAX_ATTEMPTS = 4;

/** What was found. */
export interface Balance {
  /** Executions noted. */
  executions: number;
  /** Calls not marked idempotent that were executed more than once. */
  duplicates: number;
  /** Calls that went well without having been executed. */
  unexecuted: number;
  /** Calls that were executed though their error said that they had not been started. */
  startedAfterAll: number;
  /** Calls marked idempotent that were executed more often than they may be sent. */
  repeatedTooOften: number;
}

/** Counts executions. */
export class Ledger {
  readonly balance: Balance = {
    executions: 0,
    duplicates: 0,
    unexecuted: 0,
    startedAfterAll: 0,
    repeatedTooOften: 0,
  };
  readonly #counts = new Uint8Array(SIZE);
  readonly #verdicts = new Uint8Array(SIZE);
  /** The number of the latest call; numbers begin at 1. */
  #last = 0;
  readonly #logs = new Map<string, Log>();

  /** Gives a call its number. */
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

  /** Follows the file of one server process. */
  follow(file: string): void {
    this.#logs.set(file, new Log(file));
  }

  /** Reads the rest of the file of a process that has ended. */
  finish(file: string): void {
    const log = this.#logs.get(file);
    if (log === undefined) return;
    this.#logs.delete(file);
    this.#count(log);
    log.close();
  }

  /** Reads what has been noted since. */
  read(): void {
    for (const log of this.#logs.values()) this.#count(log);
  }

  /** Holds what is left against what was noted; nothing is executed any more. */
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
      else this.balance.duplicates++; // so late that it was settled long ago
    }
  }

  #audit(slot: number): void {
    const count = this.#counts[slot]!;
    const verdict = this.#verdicts[slot]!;
    const mayRepeat = verdict === Verdict.AtLeastOnce || verdict === Verdict.Any;
    const wentWell = verdict === Verdict.Once || verdict === Verdict.AtLeastOnce;
    if (count > 1 && !mayRepeat) this.balance.duplicates++;
    if (count === 0 && wentWell) this.balance.unexecuted++;
    if (count > 0 && verdict === Verdict.Never) this.balance.startedAfterAll++;
    if (count > MAX_ATTEMPTS) this.balance.repeatedTooOften++;
  }
}

/** The file of one server process, read from where it was left. */
class Log {
  readonly #file: Deno.FsFile;
  readonly #chunk = new Uint8Array(65_536);

  constructor(path: string) {
    this.#file = Deno.openSync(path, { read: true, write: true, create: true });
  }

  *read(): Generator<number> {
    for (let count; (count = this.#file.readSync(this.#chunk)) !== null;) {
      if (count % 4 !== 0) throw new Error("A note is torn");
      yield* new Uint32Array(this.#chunk.buffer, 0, count / 4);
    }
  }

  close(): void {
    this.#file.close();
  }
}
