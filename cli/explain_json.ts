// Locates the error in invalid JSON. V8 does not report the position of every error, but its message shows
// whether the text merely ended too early, so the position is found by a binary search over the prefixes.

/** How many characters of the line are shown before the position, and in total. */
const BEFORE = 50;
const SHOWN = 70;

/** Describes the error that JSON.parse threw and its position, with the line and a mark below it. */
export function explainJson(text: string, { message }: Error): string {
  const [reason] = message.split(/ (?:in|after) JSON at position |, "|, \.\.\."/);
  const at = errorPosition(text);
  const before = text.slice(0, at).split("\n");
  const column = before.at(-1)!.length;
  const line = text.split("\n")[before.length - 1]!;
  const from = Math.max(0, column - BEFORE);
  const shown = line.slice(from, from + SHOWN).replace(/\p{Cc}/gu, " ");
  const where = `${before.length > 1 ? `line ${before.length}, ` : ""}column ${column + 1}`;
  return `${reason} (${where})\n  ${shown}\n  ${" ".repeat(column - from)}^`;
}

/** The length of the longest prefix of valid JSON: the position of the first wrong character. */
function errorPosition(text: string): number {
  let good = 0;
  for (let bad = text.length + 1; bad - good > 1;) {
    const middle = (good + bad) >> 1;
    if (isPrefix(text.slice(0, middle))) good = middle;
    else bad = middle;
  }
  return good;
}

/** Whether the text is a prefix of valid JSON. */
function isPrefix(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch (error) {
    const { message } = error as Error;
    const [, position] = /at position ([0-9]+)/.exec(message) ?? [];
    return message.startsWith("Unexpected end") || message.startsWith("Unterminated") ||
      Number(position) >= text.length;
  }
}
