// HTTP helpers of the registry: JSON responses, rejections, and bodies read within limits. Used by
// registry.ts.

import type { Code } from "../call/error.ts";
import type { Clock } from "../discovery/clock.ts";
import { type FetchInfo, lastResponse } from "../transport/unread_responses.ts";

const MAX_BODY_BYTES = 64 * 1024;
const BODY_TIMEOUT = 5_000;
/** Maximum characters of untrusted input quoted in a message. */
const MAX_QUOTED = 64;

/** A rejected request, with the response to send. */
export class HttpRefusal extends Error {
  override readonly name = "Refusal";
  readonly status: number;
  readonly code: Code;
  readonly headers: Record<string, string>;
  /** Whether the connection is closed after the response, where `Deno.serve` allows it. */
  readonly isLast: boolean;

  constructor(
    status: number,
    code: Code,
    message: string,
    headers: Record<string, string> = {},
    isLast = false,
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
    this.isLast = isLast;
  }
}

/** Headers of every JSON response. */
export const JSON_HEADERS: Readonly<Record<string, string>> = {
  "content-type": "application/json",
  "cache-control": "no-store",
};

/** A JSON response. Ends with a newline for people who use curl. */
export function answerJson(status: number, value: unknown, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(value) + "\n", {
    status,
    headers: { ...JSON_HEADERS, ...headers },
  });
}

/** A rejection of invalid input. */
export function invalid(message: string): HttpRefusal {
  return new HttpRefusal(400, "invalid_argument", message);
}

/** Quotes untrusted text for a message. */
export function quote(text: string): string {
  return JSON.stringify(text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text);
}

/** The response to a rejected request. */
export function answerRefusal(refusal: HttpRefusal, info: FetchInfo | undefined): Response {
  const { status, code, message, headers, isLast } = refusal;
  const value = { error: { code, message } };
  if (!isLast || info === undefined) return answerJson(status, value, headers);
  return lastResponse(JSON.stringify(value) + "\n", status, { ...JSON_HEADERS, ...headers });
}

/**
 * Reads a JSON object from a body of at most 64 KiB. Ignores the Content-Type, which is that of a form with
 * curl.
 *
 * @returns The object, or `undefined` if there is no body
 * @throws {HttpRefusal} If the body is longer, takes longer than 5 s, is incomplete, or is not a JSON object
 */
export async function readJson(request: Request, clock: Clock): Promise<Record<string, unknown> | undefined> {
  const text = await readText(request, clock);
  if (text === "") return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid("Cannot read the body: it is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid("Cannot read the body: expected a JSON object");
  }
  return value as Record<string, unknown>;
}

async function readText(request: Request, clock: Clock): Promise<string> {
  // A declared length is checked before reading; an undeclared one is counted while reading.
  if (Number(request.headers.get("content-length")) > MAX_BODY_BYTES) throw tooLong();
  if (request.body === null) return "";
  const reader = request.body.getReader();
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let timedOut = false;
  const cancelTimer = clock.setTimer(() => {
    timedOut = true;
    cancel(reader);
  }, BODY_TIMEOUT);
  let bytes = 0;
  let text = "";
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      bytes += part.value.length;
      if (bytes > MAX_BODY_BYTES) throw tooLong();
      text += decode(decoder, part.value);
    }
  } catch (error) {
    cancel(reader);
    if (error instanceof HttpRefusal) throw error;
    throw invalid("Cannot read the body: it is incomplete");
  } finally {
    cancelTimer();
  }
  if (timedOut) {
    throw new HttpRefusal(
      408,
      "deadline_exceeded",
      `Cannot read the body: it took longer than ${BODY_TIMEOUT} ms`,
    );
  }
  return text + decode(decoder);
}

function decode(decoder: TextDecoder, bytes?: Uint8Array): string {
  try {
    return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true });
  } catch {
    throw invalid("Cannot read the body: it is not UTF-8");
  }
}

function cancel(reader: ReadableStreamDefaultReader<Uint8Array>): void {
  // If the peer is gone, there is nothing left to cancel.
  reader.cancel().catch(() => {});
}

function tooLong(): HttpRefusal {
  return new HttpRefusal(
    413,
    "resource_exhausted",
    `Cannot read the body: it is longer than ${MAX_BODY_BYTES} bytes`,
  );
}
