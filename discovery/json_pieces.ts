// Splits the text of a JSON object into the values of its fields, and arrays among them into their elements, so that a long
// answer is parsed in pieces of bounded size. Used by registry_list.ts. The pieces are not validated: JSON.parse does that.

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Maximum length of a piece, in characters. */
export const MAX_PIECE = 131_072;

/** A value of a field, or an element of an array. */
export interface JsonPiece {
  /** The name of the field. */
  readonly field: string;
  readonly text: string;
  /** Whether it is an element of the field's array; the array itself comes first, as `[]`. */
  readonly isElement: boolean;
}

/**
 * Splits an object lazily, one piece at a time.
 *
 * @throws {SyntaxError} If the text is not a JSON object; invalid values are only detected by JSON.parse
 * @throws {RangeError} If a value, or an element of an array, is too long
 */
export function* jsonPieces(text: string): Generator<JsonPiece, void, undefined> {
  let at = expect(text, blanks(text, 0), OPEN_BRACE);
  if (text.charCodeAt(at = blanks(text, at)) === CLOSE_BRACE) return end(text, at + 1);
  for (;;) {
    const nameEnd = endOfValue(text, at);
    const field: unknown = JSON.parse(text.slice(at, nameEnd));
    if (typeof field !== "string") throw new SyntaxError("Expected a field name");
    at = blanks(text, expect(text, blanks(text, nameEnd), COLON));
    if (text.charCodeAt(at) === OPEN_BRACKET) {
      yield { field, text: "[]", isElement: false };
      at = blanks(text, at + 1);
      while (text.charCodeAt(at) !== CLOSE_BRACKET) {
        const elementEnd = endOfValue(text, at);
        yield { field, text: text.slice(at, elementEnd), isElement: true };
        at = blanks(text, elementEnd);
        if (text.charCodeAt(at) === CLOSE_BRACKET) break;
        at = blanks(text, expect(text, at, COMMA));
        if (text.charCodeAt(at) === CLOSE_BRACKET) throw new SyntaxError("Expected another element");
      }
      at++;
    } else {
      const valueEnd = endOfValue(text, at);
      yield { field, text: text.slice(at, valueEnd), isElement: false };
      at = valueEnd;
    }
    at = blanks(text, at);
    if (text.charCodeAt(at) === CLOSE_BRACE) return end(text, at + 1);
    at = blanks(text, expect(text, at, COMMA));
  }
}

/** The end of the value that begins at `from`: after its last bracket, its closing quote, or its last character. */
function endOfValue(text: string, from: number): number {
  const limit = Math.min(text.length, from + MAX_PIECE);
  let depth = 0;
  for (let at = from; at < limit; at++) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = closingQuote(text, at + 1, limit);
        if (depth === 0 && at < limit) return at + 1;
        break;
      case OPEN_BRACE:
      case OPEN_BRACKET:
        depth++;
        break;
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        if (depth === 0) return at;
        if (--depth === 0) return at + 1;
        break;
      case COMMA:
      case COLON:
        if (depth === 0) return at;
    }
  }
  if (limit < text.length) throw new RangeError(`a value has more than ${MAX_PIECE} characters`);
  throw new SyntaxError("The text ends in the middle of a value");
}

/** The position of a text's closing quote; `limit` if it is not before that. */
function closingQuote(text: string, from: number, limit: number): number {
  let at = from;
  while (at < limit) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return at;
    at += code === BACKSLASH ? 2 : 1;
  }
  return limit;
}

function blanks(text: string, from: number): number {
  const limit = Math.min(text.length, from + MAX_PIECE);
  let at = from;
  while (at < limit && isBlank(text.charCodeAt(at))) at++;
  return at;
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

function expect(text: string, at: number, code: number): number {
  if (text.charCodeAt(at) !== code) throw new SyntaxError(`Expected ${String.fromCharCode(code)}`);
  return at + 1;
}

function end(text: string, at: number): void {
  if (blanks(text, at) !== text.length) throw new SyntaxError("Expected the end");
}
