// Text of peers for logs and terminals: nothing in it may end a line, move a cursor, or pretend to be something else. Used by
// the log option, by the command line and by the checks of addresses. The expressions are in functions, since each takes a
// quarter of a ms to make.

/** How long a line of a log is at most, in characters. */
const LONGEST = 2_000;

/**
 * Text with escapes of one's own in place of the characters that could mislead a terminal or its reader: controls, ends of
 * lines, what turns the direction of writing, and what does not show at all.
 */
export function escaped(text: string, escape: (character: string) => string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, escape);
}

/** Whether text holds such a character, or half of a surrogate pair. */
export function misleads(text: string): boolean {
  return /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(text);
}

/** Text for a terminal, with escapes such as `\u{1b}`. */
export function printable(text: string): string {
  return escaped(text, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}

/** One line of bounded length, whatever a text is. */
export function oneLine(text: string): string {
  // Cut before as well: of a megabyte no more is looked at.
  const line = printable(text.slice(0, LONGEST + 1));
  return line.length > LONGEST ? `${line.slice(0, LONGEST).toWellFormed()}…` : line.toWellFormed();
}
