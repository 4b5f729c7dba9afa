// Where a text stops being JSON. V8 does not say it of every mistake, but whether it complains of the end of a text can
// be told: so the place is found by asking about its beginnings.

/** How much of a line is shown around the place. */
const BEFORE = 50;
const SHOWN = 70;

/** What is wrong with a text that JSON.parse refused, and where, with the line and a mark below it. */
export function explainJson(text: string, { message }: Error): string {
  const [reason] = message.split(/ (?:in|after) JSON at position |, "|, \.\.\."/);
  const at = firstWrong(text);
  const before = text.slice(0, at).split("\n");
  const column = before.at(-1)!.length;
  const line = text.split("\n")[before.length - 1]!;
  const from = Math.max(0, column - BEFORE);
  const shown = line.slice(from, from + SHOWN).replace(/\p{Cc}/gu, " ");
  const where = `${before.length > 1 ? `line ${before.length}, ` : ""}column ${column + 1}`;
  return `${reason} (${where})\n  ${shown}\n  ${" ".repeat(column - from)}^`;
}

/** The length of the longest beginning that could still become JSON: where the first wrong character is. */
function firstWrong(text: string): number {
  let good = 0;
  for (let bad = text.length + 1; bad - good > 1;) {
    const middle = (good + bad) >> 1;
    if (couldGoOn(text.slice(0, middle))) good = middle;
    else bad = middle;
  }
  return good;
}

/** Whether there is nothing wrong with a text but that it ends. */
function couldGoOn(text: string): boolean {
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
