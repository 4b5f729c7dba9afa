// The master's store: an SQLite file in which every acknowledged write is on disk, and which only one process
// at a time may open.

import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { RpcError } from "@troodon/rpc";
import { checkUrl, isKey, type Store } from "./store.ts";

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** The first number whose key has four digits, so that no key collides with `add` or another short path. */
const FIRST = 62 ** 3;

/** Encodes a number in base 62. */
export function toKey(id: number): string {
  let key = "";
  for (let rest = id; rest > 0; rest = Math.floor(rest / 62)) key = DIGITS[rest % 62] + key;
  return key;
}

/** Decodes a key, or returns undefined if it is invalid. */
export function toId(key: string): number | undefined {
  if (!isKey(key)) return undefined;
  let id = 0;
  for (const digit of key) id = id * 62 + DIGITS.indexOf(digit);
  return id >= FIRST && Number.isSafeInteger(id) ? id : undefined;
}

/**
 * Settings and schema of the file.
 *
 * - `WAL` appends a transaction to one file, so that a commit is one write and one fsync; `FULL` does that
 *   fsync at every commit, while `NORMAL` would leave it to the next checkpoint and could lose commits in a
 *   power failure.
 * - `EXCLUSIVE` prevents a second master from opening the file. The lock ends with the process, however it
 *   ends.
 * - `AUTOINCREMENT` never reuses a number, not even that of a deleted row.
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
interface PendingWrite {
  readonly url: string;
  readonly resolve: (key: string) => void;
  readonly reject: (error: RpcError) => void;
}

/** Stores URLs in a file. */
export class UrlStore implements Store, AsyncDisposable {
  readonly #db: DatabaseSync;
  readonly #read: StatementSync;
  readonly #find: StatementSync;
  readonly #insert: StatementSync;
  readonly #log: (line: string) => void;
  #pending: PendingWrite[] = [];
  #closed = false;

  private constructor(db: DatabaseSync, log: (line: string) => void) {
    this.#db = db;
    this.#log = log;
    this.#read = db.prepare("SELECT url FROM urls WHERE id = ?");
    this.#find = db.prepare("SELECT id FROM urls WHERE url = ?");
    this.#insert = db.prepare("INSERT INTO urls (url) VALUES (?)");
  }

  /**
   * Opens or creates a file.
   *
   * @param log Receives messages about failed writes, for example on a full disk
   * @throws {Error} If the file cannot be opened; the message is for the user
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

  /** As {@linkcode Store.get}. Reads the file, through SQLite's page cache. */
  // deno-lint-ignore require-await -- a failure must become a rejection
  async get(key: string): Promise<string | undefined> {
    const id = toId(key);
    if (id === undefined) return undefined;
    if (this.#closed) throw closed();
    return this.#read.get(id)?.url as string | undefined;
  }

  /** As {@linkcode Store.put}. Resolves when the URL is on disk; concurrent writes share a transaction. */
  // deno-lint-ignore require-await -- as above
  async put(text: string): Promise<string> {
    const url = checkUrl(text);
    if (this.#closed) throw closed();
    return new Promise((resolve, reject) => {
      this.#pending.push({ url, resolve, reject });
      if (this.#pending.length === 1) setTimeout(() => this.#commit(), 0);
    });
  }

  /** Writes the pending URLs, then closes the file. Idempotent. */
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
    const batch = this.#pending;
    if (batch.length === 0) return;
    this.#pending = [];
    let keys: string[];
    try {
      this.#db.exec("BEGIN IMMEDIATE");
      keys = batch.map(({ url }) => this.#keyOf(url));
      this.#db.exec("COMMIT");
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      const message = `Cannot store the URL: ${(error as Error).message}`;
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
