// Suggests the name that a user may have meant: for unknown options, and for words on the command line.

/** Maximum number of letter comparisons, since a server may list any number of names. About 0.1 s. */
const MAX_STEPS = 4_000_000;
/** Longer names, in letters, are not compared. */
const MAX_LENGTH = 200;

/**
 * The name that is most similar to `text`, if any is similar enough. In a very long list, only the first names are compared.
 */
export function nearest(text: string, names: readonly string[]): string | undefined {
  const wanted = text.toLowerCase();
  if (wanted.length > MAX_LENGTH) return undefined;
  const maxEdits = Math.min(wanted.length, Math.max(2, Math.floor(wanted.length / 3)));
  let found: string | undefined;
  let fewest = maxEdits + 1;
  let steps = 0;
  for (const name of names) {
    // Each letter of difference in length costs an edit.
    if (Math.abs(name.length - wanted.length) >= fewest || name.length > MAX_LENGTH) continue;
    steps += wanted.length * name.length;
    if (steps > MAX_STEPS) break;
    const edits = distance(wanted, name.toLowerCase());
    if (edits < fewest) [found, fewest] = [name, edits];
  }
  return found;
}

/** Number of letters to add, remove, change or swap with their neighbors (optimal string alignment distance). */
function distance(a: string, b: string): number {
  let above: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min(change, row[j]! + 1, next[j - 1]! + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        least = Math.min(least, above[j - 2]! + 1);
      }
      next.push(least);
    }
    [above, row] = [row, next];
  }
  return row[b.length]!;
}
