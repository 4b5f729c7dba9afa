// Formats text for people: numbers with units, columns. Escapes control characters, so that a peer cannot
// manipulate the terminal.

import { printable } from "../call/safe_text.ts";

export { escaped, printable } from "../call/safe_text.ts";

/** Formats a duration in ms with three significant digits, such as `0.34`, `12.5`, `1234`. */
export function milliseconds(ms: number): string {
  return ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0);
}

/** Formats a rate per second: whole numbers, except for small rates. */
export function rate(perSecond: number): string {
  return perSecond.toFixed(perSecond < 10 && perSecond % 1 !== 0 ? 1 : 0);
}

/** Maximum column width: one cell of a megabyte would otherwise pad every line to that length. */
const MAX_WIDTH = 100;

/**
 * Formats rows as lines of columns, two spaces apart. A longer cell shifts the rest of its row.
 *
 * @param rows Cells, the same number in each row
 * @param left How many leading columns are aligned left; the others are aligned right
 */
export function columns(rows: readonly (readonly string[])[], left = Infinity): string[] {
  const shown = rows.map((row) => row.map(printable));
  const widths = shown[0]?.map((_, column) => {
    return shown.reduce((width, row) => Math.min(Math.max(width, row[column]!.length), MAX_WIDTH), 0);
  }) ?? [];
  return shown.map((row) => {
    const cells = row.map((cell, column) =>
      column < left ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)
    );
    return cells.join("  ").trimEnd();
  });
}

/** A count with its noun in the singular or plural. */
export function plural(count: number, one: string): string {
  return `${count} ${one}${count === 1 ? "" : "s"}`;
}
