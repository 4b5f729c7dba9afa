// Makes text from peers safe for logs and terminals: it cannot break a line, move the cursor or disguise itself. Used by the
// log option, by the command line and by checks of addresses. The regular expressions are inside functions, since compiling each
// takes a quarter of a ms.

/** Maximum length of a log line, in characters. */
const MAX_LENGTH = 2_000;

/**
 * Replaces characters that can mislead a terminal or its reader by the result of `escape`: controls, line ends, changes of
 * writing direction, and invisible characters.
 */
export function escaped(text: string, escape: (character: string) => string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, escape);
}

/** Whether text contains such a character or a lone surrogate. */
export function misleads(text: string): boolean {
  return /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(text);
}

/** Makes text safe for a terminal: misleading characters become escapes such as `\u{1b}`. */
export function printable(text: string): string {
  return escaped(text, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}

/** Converts text to one safe line of bounded length. */
export function oneLine(text: string): string {
  // Cut before escaping too, so that a megabyte of text costs no more than a line.
  const line = printable(text.slice(0, MAX_LENGTH + 1));
  return line.length > MAX_LENGTH ? `${line.slice(0, MAX_LENGTH).toWellFormed()}…` : line.toWellFormed();
}
