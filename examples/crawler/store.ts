// Stores pages in SQLite, with full-text search (FTS5). Used by the saver.

import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { Found, Item } from "./contract.ts";

/** Maximum number of words in a search. */
const MAX_WORDS = 16;

const SCHEMA = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  CREATE TABLE IF NOT EXISTS pages (
    id INTEGER PRIMARY KEY,
    url TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    depth INTEGER NOT NULL,
    saved_at INTEGER NOT NULL,
    saves INTEGER NOT NULL DEFAULT 1
  ) STRICT;
  CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(
    title, text, content = 'pages', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
  );
  CREATE TRIGGER IF NOT EXISTS page_added AFTER INSERT ON pages BEGIN
    INSERT INTO words (rowid, title, text) VALUES (new.id, new.title, new.text);
  END;
  CREATE TRIGGER IF NOT EXISTS page_changed AFTER UPDATE OF title, text ON pages BEGIN
    INSERT INTO words (words, rowid, title, text) VALUES ('delete', old.id, old.title, old.text);
    INSERT INTO words (rowid, title, text) VALUES (new.id, new.title, new.text);
  END;
`;
const SAVE = `
  INSERT INTO pages (url, title, text, depth, saved_at) VALUES (?, ?, ?, ?, ?)
  ON CONFLICT (url) DO UPDATE SET title = excluded.title, text = excluded.text,
    depth = excluded.depth, saved_at = excluded.saved_at, saves = saves + 1
  RETURNING saves
`;
const SEARCH = `
  SELECT pages.url, pages.title, snippet(words, 1, char(2), char(3), '…', 32) AS snippet
  FROM words JOIN pages ON pages.id = words.rowid
  WHERE words MATCH ? ORDER BY bm25(words, 4.0, 1.0), pages.id LIMIT ? OFFSET ?
`;
const LATEST = `
  SELECT url, title, substr(text, 1, 200) AS snippet FROM pages ORDER BY id DESC LIMIT ? OFFSET ?
`;

/** A file of pages. */
export class Store implements Disposable {
  readonly #db: DatabaseSync;
  readonly #save: StatementSync;
  readonly #search: StatementSync;
  readonly #latest: StatementSync;
  readonly #count: StatementSync;

  /**
   * Opens or creates a file.
   *
   * @param file Its path, or `:memory:`
   */
  constructor(file: string) {
    this.#db = new DatabaseSync(file);
    this.#db.exec(SCHEMA);
    this.#save = this.#db.prepare(SAVE);
    this.#search = this.#db.prepare(SEARCH);
    this.#latest = this.#db.prepare(LATEST);
    this.#count = this.#db.prepare("SELECT count(*) AS pages FROM pages");
  }

  /** Stores a page, replacing the one with the same URL. Returns whether it is new. */
  save({ url, title, text, depth }: Item): boolean {
    const { saves } = this.#save.get(url, title, text, depth, Date.now()) as { saves: number };
    return saves === 1;
  }

  count(): number {
    return (this.#count.get() as { pages: number }).pages;
  }

  /** Returns pages that contain all words, best first; without words, the latest pages. */
  search(query: string, limit: number, offset: number): Found[] {
    const words = query.split(/[\s\p{Cc}"]+/u).filter((word) => word !== "").slice(0, MAX_WORDS);
    const rows = words.length === 0
      ? this.#latest.all(limit, offset)
      // Quoted words are not interpreted as FTS5 query syntax.
      : this.#search.all(words.map((word) => `"${word}"`).join(" "), limit, offset);
    return rows.map(({ url, title, snippet }) => ({ url, title, snippet }) as unknown as Found);
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}
