// Stores pages in SQLite, with full-text search (FTS5). Used by the saver.

import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { Found, Item } from "./contract.ts";

/** Maximum number of words in a search. */
const MAX_WORDS = 16;

/**
 * Chinese and Japanese have no spaces between words, so that FTS5 would index whole sentences as words. Each character
 * is stored as a word, with an invisible separator after it; a word of a search is then a phrase.
 */
const SEPARATOR = "\u200b";
const UNSPACED =
  /(?<=[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}ー])(?=[\p{L}\p{N}])|(?<=[\p{L}\p{N}])(?=[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}ー])/gu;

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
const MATCHES = "SELECT count(*) AS pages FROM words WHERE words MATCH ?";
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
  readonly #matches: StatementSync;

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
    this.#matches = this.#db.prepare(MATCHES);
    this.#count = this.#db.prepare("SELECT count(*) AS pages FROM pages");
  }

  /** Stores a page, replacing the one with the same URL. Returns whether it is new. */
  save({ url, title, text, depth }: Item): boolean {
    const parts = [title, text].map(separated);
    const { saves } = this.#save.get(url, ...parts, depth, Date.now()) as { saves: number };
    return saves === 1;
  }

  count(): number {
    return (this.#count.get() as { pages: number }).pages;
  }

  /** Returns pages that contain all words, best first; without words, the latest pages. */
  search(query: string, limit: number, offset: number): Found[] {
    const match = matchOf(query);
    const rows = match === "" ? this.#latest.all(limit, offset) : this.#search.all(match, limit, offset);
    return rows.map(({ url, title, snippet }) => ({
      url: String(url),
      title: joined(String(title)),
      snippet: joined(String(snippet)),
    }));
  }

  /** The number of pages that contain all words. */
  matches(query: string): number {
    const match = matchOf(query);
    return match === "" ? this.count() : (this.#matches.get(match) as { pages: number }).pages;
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}

/** A query of FTS5. Quoted words are not interpreted as its syntax. */
function matchOf(query: string): string {
  const words = query.split(/[\s\p{Cc}"]+/u).filter((word) => word !== "").slice(0, MAX_WORDS);
  return words.map((word) => `"${separated(word)}"`).join(" ");
}

function separated(text: string): string {
  return text.replaceAll(SEPARATOR, "").replace(UNSPACED, SEPARATOR);
}

function joined(text: string): string {
  return text.replaceAll(SEPARATOR, "");
}
