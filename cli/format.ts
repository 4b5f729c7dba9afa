// Text for people: figures with their units, columns, and nothing that a peer could use to write over a terminal.

import { printable } from "../call/one_line.ts";

export { escaped, printable } from "../call/one_line.ts";

/** A duration of ms with three digits that count, such as `0.34`, `12.5`, `1234`. */
export function milliseconds(ms: number): string {
  return ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0);
}

/** A rate a second: whole numbers, but for small ones. */
export function rate(perSecond: number): string {
  return perSecond.toFixed(perSecond < 10 && perSecond % 1 !== 0 ? 1 : 0);
}

/** Columns are no wider: of a table with one cell of a megabyte, every line would be as long. */
const WIDEST = 100;

/**
 * Rows as lines of columns, two spaces apart. A cell that is too long for that moves the rest of its row.
 *
 * @param rows Cells, as many in each row
 * @param left How many columns from the left are aligned there; figures are aligned at the right
 */
export function columns(rows: readonly (readonly string[])[], left = Infinity): string[] {
  const shown = rows.map((row) => row.map(printable));
  const widths = shown[0]?.map((_, column) => {
    return shown.reduce((width, row) => Math.min(Math.max(width, row[column]!.length), WIDEST), 0);
  }) ?? [];
  return shown.map((row) => {
    const cells = row.map((cell, column) =>
      column < left ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)
    );
    return cells.join("  ").trimEnd();
  });
}

/** The word for a number of things. */
export function plural(count: number, one: string): string {
  return `${count} ${one}${count === 1 ? "" : "s"}`;
}
