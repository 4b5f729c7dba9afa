// The two lines of the handshake, held against the tables of docs/PROTOCOL.md.

import type { Json } from "./cbor.ts";
import { same } from "./script.ts";
import { Failure } from "./wire.ts";

/** A line, parsed. */
export type Line = Readonly<Record<string, Json>>;

const CODES: ReadonlySet<Json | undefined> = new Set([
  "canceled",
  "unknown",
  "invalid_argument",
  "deadline_exceeded",
  "not_found",
  "already_exists",
  "permission_denied",
  "resource_exhausted",
  "failed_precondition",
  "aborted",
  "out_of_range",
  "unimplemented",
  "internal",
  "unavailable",
  "data_loss",
  "unauthenticated",
]);

/** A line that must be an object of JSON. */
export function parseLine(line: string): Line {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new Failure(`${line}, expected a line of JSON`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Failure(`${line}, expected a JSON object`);
  }
  return value as Line;
}

/** A server's line that accepts the option `sent`. */
export function checkAnswer(answer: Line, sent: string, fields: Line): void {
  if (Object.hasOwn(answer, "error")) throw new Failure(`a refusal, ${JSON.stringify(answer.error)}`);
  const option = parseLine(sent.slice(0, sent.indexOf("\n")));
  const asked = typeof option.handleTimeout === "number" ? option.handleTimeout : 0;
  exactly(answer, "magicNumber", 3927900);
  exactly(answer, "version", 1);
  exactly(answer, "codecType", option.codecType ?? "application/cbor");
  atLeast(answer, "maxFrameBytes", 65_536);
  atLeast(answer, "maxInFlight", 16);
  atLeast(answer, "heartbeatInterval", 0);
  atLeast(answer, "handleTimeout", asked > 0 ? 1 : 0);
  if (asked > 0 && Number(answer.handleTimeout) > asked) throw new Failure(`a handleTimeout above ${asked}`);
  for (const [name, value] of Object.entries(fields)) exactly(answer, name, value);
  const { token } = option;
  if (typeof token === "string" && token.length > 5 && JSON.stringify(answer).includes(token)) {
    throw new Failure("the token in the answer");
  }
}

/** A server's line that refuses. */
export function checkRefusal(line: string, sent: string, code: string): void {
  const { error } = parseLine(line);
  const { code: got, message } = Object(error) as Line;
  if (got !== code) throw new Failure(`${line}, expected a refusal with ${code}`);
  if (typeof message !== "string") throw new Failure("a refusal without a message");
  checkEcho(line, sent);
}

/** A client's line that asks for what it was told to ask for. */
export function checkOption(option: Line, told: Line): void {
  exactly(option, "magicNumber", 3927900);
  if (Object.hasOwn(option, "version")) exactly(option, "version", 1);
  if (Object.hasOwn(option, "codecType") && typeof option.codecType !== "string") {
    throw new Failure("a codecType that is not text");
  }
  for (const name of ["connectTimeout", "handleTimeout"]) {
    if (Object.hasOwn(option, name)) atLeast(option, name, 0);
  }
  if (Object.hasOwn(option, "maxFrameBytes")) atLeast(option, "maxFrameBytes", 256);
  for (const [name, value] of Object.entries(told)) exactly(option, name, value);
}

/** Whether a code is one of the sixteen. */
export function isCode(code: Json | undefined): boolean {
  return CODES.has(code);
}

function exactly(line: Line, name: string, value: Json): void {
  if (!same(line[name], value)) {
    throw new Failure(`${name} is ${JSON.stringify(line[name])}, expected ${JSON.stringify(value)}`);
  }
}

function atLeast(line: Line, name: string, least: number): void {
  const value = line[name];
  if (!Number.isSafeInteger(value) || Number(value) < least) {
    throw new Failure(`${name} is ${JSON.stringify(value)}, expected a whole number from ${least}`);
  }
}

/** Nothing of more than 64 bytes that came may be repeated. Names of fields are everybody's. */
function checkEcho(line: string, sent: string): void {
  for (let at = 0; at + 65 <= sent.length; at++) {
    const part = sent.slice(at, at + 65);
    if (line.includes(part)) throw new Failure(`more than 64 bytes of what was sent: ${part}`);
  }
}
