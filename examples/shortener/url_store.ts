// The master's store: the only one that writes. A file of SQLite's in which every write that was acknowledged is on
// disk, and which one process at a time may have open.

import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { RpcError } from "@troodon/rpc";
import { checkUrl, isKey, type Store } from "./store.ts";

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** The first number whose key has four digits: no key is `add`, or another path that the front may come to have. */
const FIRST = 62 ** 3;

/** The number of a URL, in base 62. */
export function toKey(id: number): string {
  let key = "";
  for (let rest = id; rest > 0; rest = Math.floor(rest / 62)) key = DIGITS[rest % 62] + key;
  return key;
}

/** The number that a key stands for, or undefined if it stands for none. */
export function toId(key: string): number | undefined {
  if (!isKey(key)) return undefined;
  let id = 0;
  for (const digit of key) id = id * 62 + DIGITS.indexOf(digit);
  return id >= FIRST && Number.isSafeInteger(id) ? id : undefined;
}

/**
 * What the file is opened with.
 *
 * - `WAL` appends a transaction to one file, so that a commit is one write and one fsync; `FULL` does that fsync at
 *   every commit, where `NORMAL` would leave it to the next checkpoint and lose commits with the power.
 * - `EXCLUSIVE` keeps a second master away from the file. The lock goes when the process goes, however it goes.
 * - `AUTOINCREMENT` never uses a number again, not even that of a row that somebody has deleted.
 */
const SCHEMA = `
  PRAGMA locking_mode = EXCLUSIVE;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  BEGIN IMMEDIATE;
  CREATE TABLE IF NOT EXISTS urls (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    url TEXT NOT NULL UNIQUE
  ) STRICT;
  INSERT INTO sqlite_sequence (name, seq)
    SELECT 'urls', ${FIRST - 1} WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'urls');
  COMMIT;
`;

/** A write that is not on disk yet. */
interface Waiting {
  readonly url: string;
  readonly resolve: (key: string) => void;
  readonly reject: (error: RpcError) => void;
}

/** URLs in a file. */
export class UrlStore implements Store, AsyncDisposable {
  readonly #db: DatabaseSync;
  readonly #read: StatementSync;
  readonly #find: StatementSync;
  readonly #insert: StatementSync;
  readonly #log: (line: string) => void;
  #waiting: Waiting[] = [];
  #closed = false;

  private constructor(db: DatabaseSync, log: (line: string) => void) {
    this.#db = db;
    this.#log = log;
    this.#read = db.prepare("SELECT url FROM urls WHERE id = ?");
    this.#find = db.prepare("SELECT id FROM urls WHERE url = ?");
    this.#insert = db.prepare("INSERT INTO urls (url) VALUES (?)");
  }

  /**
   * Opens a file, or begins one.
   *
   * @param log Told when writing fails, as on a disk that is full
   * @throws {Error} If that cannot be done, with a message for the one who named the file
   */
  static open(file: string, log: (line: string) => void = () => {}): UrlStore {
    let db: DatabaseSync | undefined;
    try {
      if (dirname(file) !== ".") mkdirSync(dirname(file), { recursive: true });
      db = new DatabaseSync(file);
      db.exec(SCHEMA);
      return new UrlStore(db, log);
    } catch (error) {
      db?.close();
      const { message } = error as Error;
      const why = message === "database is locked" ? "another process has it open" : message;
      throw new Error(`cannot open ${file}: ${why}`);
    }
  }

  /** As {@linkcode Store.get}. Reads the file, of which SQLite keeps in memory what is used. */
  // deno-lint-ignore require-await -- a failure is to be a rejection
  async get(key: string): Promise<string | undefined> {
    const id = toId(key);
    if (id === undefined) return undefined;
    if (this.#closed) throw closed();
    return this.#read.get(id)?.url as string | undefined;
  }

  /** As {@linkcode Store.put}. Resolves when the URL is on disk; writes that come together are one transaction. */
  // deno-lint-ignore require-await -- as above
  async put(text: string): Promise<string> {
    const url = checkUrl(text);
    if (this.#closed) throw closed();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ url, resolve, reject });
      if (this.#waiting.length === 1) setTimeout(() => this.#commit(), 0);
    });
  }

  /** Writes what is waiting, then closes the file. Closing twice is fine. */
  // deno-lint-ignore require-await -- as above
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#commit();
    this.#db.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #commit(): void {
    const batch = this.#waiting;
    if (batch.length === 0) return;
    this.#waiting = [];
    let keys: string[];
    try {
      this.#db.exec("BEGIN IMMEDIATE");
      keys = batch.map(({ url }) => this.#keyOf(url));
      this.#db.exec("COMMIT");
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      const message = `Cannot keep the URL: ${(error as Error).message}`;
      this.#log(message);
      for (const { reject } of batch) reject(new RpcError("unavailable", message, { cause: error }));
      return;
    }
    batch.forEach(({ resolve }, i) => resolve(keys[i]!));
  }

  #keyOf(url: string): string {
    const id = this.#find.get(url)?.id ?? this.#insert.run(url).lastInsertRowid;
    return toKey(Number(id));
  }
}

function closed(): RpcError {
  return new RpcError("unavailable", "The store is closed");
}
