// Tables of the page, and what others in the process tell of themselves: whatever that is, it becomes lists and tables.

import { type Content, element, type PageElement } from "./page_tree.ts";
import { count, listing } from "./page_text.ts";

/** A column: its heading; `n` if it is of numbers. */
export type Column = readonly [heading: string, kind?: "n"];

/** A row: what it is told by when it is shown again, its cells, and what the style sheet is to know of it. */
export interface Row {
  readonly key: string;
  readonly cells: readonly Content[];
  readonly state?: string;
}

/** How many columns are made of what is not known. */
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

/** What a peer has said of itself: it may be written in either direction, and stays among itself. */
export function foreign(text: string): PageElement {
  return element("bdi", {}, text);
}

/** What is said below a list of which not all is shown. */
export function rest(more: number): Content {
  return more === 0 ? undefined : element("p", { class: "rest" }, `and ${count(more)} more`);
}

/** Whatever somebody told: figures as a list, lists of things as tables. */
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

/** Whether a value is a list of things that have names for what they are. */
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

/** A name of a program's as words: `refusedRetries` is "Refused retries". */
function words(name: string): string {
  const spaced = name.replace(
    /([\p{Ll}\d])(\p{Lu})/gu,
    (_, before, after) => `${before} ${after.toLowerCase()}`,
  );
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}
