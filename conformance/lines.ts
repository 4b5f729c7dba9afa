// Checks the two lines of the handshake against the tables of docs/PROTOCOL.md.

import type { Json } from "./cbor.ts";
import { same } from "./script.ts";
import { Failure } from "./wire.ts";

/** A parsed line. */
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

/** Parses a line that must be a JSON object. */
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

/** Checks a server's line that accepts the option in `sent`. */
export function checkAnswer(answer: Line, sent: string, fields: Line): void {
  if (Object.hasOwn(answer, "error")) throw new Failure(`a rejection, ${JSON.stringify(answer.error)}`);
  const option = parseLine(sent.slice(0, sent.indexOf("\n")));
  const requested = typeof option.handleTimeout === "number" ? option.handleTimeout : 0;
  checkEqual(answer, "magicNumber", 3927900);
  checkEqual(answer, "version", 1);
  checkEqual(answer, "codecType", option.codecType ?? "application/cbor");
  checkMin(answer, "maxFrameBytes", 65_536);
  checkMin(answer, "maxInFlight", 16);
  checkMin(answer, "heartbeatInterval", 0);
  checkMin(answer, "handleTimeout", requested > 0 ? 1 : 0);
  if (requested > 0 && Number(answer.handleTimeout) > requested) {
    throw new Failure(`a handleTimeout above ${requested}`);
  }
  for (const [name, value] of Object.entries(fields)) checkEqual(answer, name, value);
  const { token } = option;
  if (typeof token === "string" && token.length > 5 && JSON.stringify(answer).includes(token)) {
    throw new Failure("the token repeated in the response");
  }
}

/** Checks a server's line that rejects the option. */
export function checkRefusal(line: string, sent: string, code: string): void {
  const { error } = parseLine(line);
  const { code: got, message } = Object(error) as Line;
  if (got !== code) throw new Failure(`${line}, expected a rejection with ${code}`);
  if (typeof message !== "string") throw new Failure("a rejection without a message");
  checkEcho(line, sent);
}

/** Checks that a client's line requests what the client was configured with. */
export function checkOption(option: Line, expected: Line): void {
  checkEqual(option, "magicNumber", 3927900);
  if (Object.hasOwn(option, "version")) checkEqual(option, "version", 1);
  if (Object.hasOwn(option, "codecType") && typeof option.codecType !== "string") {
    throw new Failure("a codecType that is not a string");
  }
  for (const name of ["connectTimeout", "handleTimeout"]) {
    if (Object.hasOwn(option, name)) checkMin(option, name, 0);
  }
  if (Object.hasOwn(option, "maxFrameBytes")) checkMin(option, "maxFrameBytes", 256);
  for (const [name, value] of Object.entries(expected)) checkEqual(option, name, value);
}

/** Whether a code is one of the sixteen standard codes. */
export function isCode(code: Json | undefined): boolean {
  return CODES.has(code);
}

function checkEqual(line: Line, name: string, value: Json): void {
  if (!same(line[name], value)) {
    throw new Failure(`${name} is ${JSON.stringify(line[name])}, expected ${JSON.stringify(value)}`);
  }
}

function checkMin(line: Line, name: string, min: number): void {
  const value = line[name];
  if (!Number.isSafeInteger(value) || Number(value) < min) {
    throw new Failure(`${name} is ${JSON.stringify(value)}, expected a whole number from ${min}`);
  }
}

/** A rejection must not repeat more than 64 bytes of the input. */
function checkEcho(line: string, sent: string): void {
  for (let at = 0; at + 65 <= sent.length; at++) {
    const part = sent.slice(at, at + 65);
    if (line.includes(part)) {
      throw new Failure(`a rejection that repeats more than 64 bytes of the input: ${part}`);
    }
  }
}
