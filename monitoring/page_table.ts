// Tables of the page, and the stats of shown sources: values of any shape become lists and tables.

import { type Content, element, type PageElement } from "./page_tree.ts";
import { count, listing } from "./page_text.ts";

/** A column: its heading; `n` if it is of numbers. */
export type Column = readonly [heading: string, kind?: "n"];

/** A row: the key that identifies it in the next update, its cells, and its class in the style sheet. */
export interface Row {
  readonly key: string;
  readonly cells: readonly Content[];
  readonly state?: string;
}

/** The most columns for values of unknown shape. */
const MOST_COLUMNS = 14;

/** A table; the first cell of each row is its heading. `kind` is its class in the style sheet. */
export function table(
  label: string,
  columns: readonly Column[],
  rows: readonly Row[],
  kind?: string,
): PageElement {
  const seen = new Map<string, number>();
  const unique = (row: Row): Row => {
    const times = (seen.get(row.key) ?? 0) + 1;
    seen.set(row.key, times);
    return times === 1 ? row : { ...row, key: `${row.key} ${times}` };
  };
  const head = columns.map(([heading, kind]) => element("th", { scope: "col", class: kind }, heading));
  return element(
    "table",
    { "aria-label": label, class: kind },
    element("thead", {}, element("tr", {}, ...head)),
    element("tbody", {}, ...rows.map((row) => tableRow(columns, unique(row)))),
  );
}

/** Text that a peer sent: isolated, since it may be written in either direction. */
export function foreign(text: string): PageElement {
  return element("bdi", {}, text);
}

/** The note below a truncated list. */
export function rest(more: number): Content {
  return more === 0 ? undefined : element("p", { class: "rest" }, `and ${count(more)} more`);
}

/** A value of any shape: figures as a list, lists of objects as tables. */
export function statsContent(name: string, stats: unknown): Content {
  if (typeof stats !== "object" || stats === null) {
    return element("p", {}, stats === undefined ? "failed" : text(stats));
  }
  const all = Object.entries(stats);
  const lists = all.filter((entry): entry is [string, object[]] => isTable(entry[1]));
  const figures = all.filter(([, value]) => !isTable(value));
  return [
    figures.length === 0
      ? undefined
      : element("dl", {}, ...figures.map(([name, value]) => figure(name, text(value)))),
    ...lists.map(([list, items]) => [
      tableOf(`${words(list)} of ${name}`, items),
      items.at(-1) instanceof Object ? undefined : element("p", { class: "rest" }, "and more"),
    ]),
  ];
}

/** A figure and its name. */
export function figure(name: string, ...value: Content[]): PageElement {
  return element("div", {}, element("dt", {}, words(name)), element("dd", {}, ...value));
}

function tableRow(columns: readonly Column[], { key, cells, state }: Row): PageElement {
  return element(
    "tr",
    { "data-key": key, "data-state": state },
    ...cells.map((content, at) => {
      const [heading, kind] = columns[at] ?? [""];
      if (at === 0) return element("th", { scope: "row" }, content);
      return element("td", { "data-label": heading, class: kind }, content);
    }),
  );
}

/** Whether a value is a list of objects with named properties. */
function isTable(value: unknown): value is object[] {
  return Array.isArray(value) && value.length > 0 &&
    value.every((item) => typeof item === "object" && item !== null || item === "…");
}

function tableOf(label: string, items: readonly object[]): PageElement {
  const things = items.filter((item) => typeof item === "object");
  const names = [...new Set(things.flatMap((item) => Object.keys(item)))].slice(0, MOST_COLUMNS);
  const numeric = (name: string) =>
    things.every((item) => ["number", "undefined"].includes(typeof valueOf(item, name)));
  const columns = names.map((name): Column => numeric(name) ? [words(name), "n"] : [words(name)]);
  const rows = things.map((item): Row => ({
    key: text(valueOf(item, names[0]!)),
    state: typeof valueOf(item, "health") === "string"
      ? "ejected"
      : text(valueOf(item, "state")) || undefined,
    cells: names.map((name) => text(valueOf(item, name))),
  }));
  return table(label, columns, rows);
}

function valueOf(item: object, name: string): unknown {
  return Object.getOwnPropertyDescriptor(item, name)?.value;
}

function text(value: unknown): string {
  if (value === undefined || value === null) return "";
  if (typeof value === "number") return count(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "object") return String(value);
  if (Array.isArray(value)) return value.map(text).join(", ") || "none";
  const numbers = Object.values(value).every((each) => typeof each === "number");
  return numbers ? listing(value as Record<string, number>) : JSON.stringify(value);
}

/** An identifier as words: `refusedRetries` becomes "Refused retries". */
function words(name: string): string {
  const spaced = name.replace(
    /([\p{Ll}\d])(\p{Lu})/gu,
    (_, before, after) => `${before} ${after.toLowerCase()}`,
  );
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}
