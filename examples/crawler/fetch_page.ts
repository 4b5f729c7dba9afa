// Fetches a page, with limits on everything a site controls: time, bytes, type, encoding. Used by workers.

import { MAX_RETRY_AFTER, type PageJob, type PageResult, type RobotsResult } from "./contract.ts";
import { decodePage } from "./encoding.ts";
import { parsePage } from "./parse.ts";
import { directivesFor, PRODUCT } from "./robots.ts";
import { normalizeUrl } from "./url.ts";

const USER_AGENT = `${PRODUCT}/1.0 (+https://jsr.io/@troodon/rpc)`;
/** Maximum bytes read of a robots.txt, as required by RFC 9309 section 2.5. */
const ROBOTS_BYTES = 512_000;
/** Maximum redirects of a robots.txt (RFC 9309 section 2.3.1.2). */
const ROBOTS_HOPS = 5;

interface FetchedResponse {
  readonly status: number;
  readonly headers: Headers;
  /** The part that was read. */
  readonly body: Uint8Array<ArrayBuffer>;
  /** Whether the body was longer. */
  readonly truncated: boolean;
}

interface FetchRequest {
  readonly url: string;
  readonly accept: string;
  readonly timeout: number;
  readonly maxBytes: number;
  readonly signal: AbortSignal;
  /** Whether to read the body of a response. */
  readonly shouldRead: (status: number, headers: Headers) => boolean;
}

/** Fetches and parses a page. Rejects only if `signal` aborts: a failure of the page is a result. */
export async function fetchPage(
  { url, timeout, maxBytes }: PageJob,
  signal: AbortSignal,
): Promise<PageResult> {
  let answer: FetchedResponse;
  const accept = "text/html, application/xhtml+xml";
  const shouldRead = (status: number, headers: Headers) => status < 300 && isHtml(headers);
  try {
    answer = await get({ url, accept, timeout, maxBytes, signal, shouldRead });
  } catch (error) {
    if (signal.aborted) throw error;
    return { kind: "failed", why: reasonOf(error), retryable: true };
  }
  const { status, headers, body, truncated } = answer;
  if (status >= 300 && status < 400) {
    const to = normalizeUrl(locationOf(headers), url);
    if (headers.has("location") && to !== undefined) return { kind: "redirect", to };
    return { kind: "failed", why: `HTTP ${status} without a valid Location`, retryable: false };
  }
  if (status >= 400) {
    const retryable = status >= 500 || status === 429 || status === 408;
    return { kind: "failed", why: `HTTP ${status}`, retryable, retryAfter: retryAfterOf(headers) };
  }
  if (!isHtml(headers)) return { kind: "skipped", why: `not HTML: ${typeOf(headers) || "unknown type"}` };
  if (truncated) return { kind: "skipped", why: `longer than ${maxBytes} bytes` };
  const directives = directivesFor(headers.get("x-robots-tag") ?? "");
  return { kind: "page", ...parsePage(decodePage(body, headers.get("content-type")), url, directives) };
}

/** Fetches the robots.txt of an origin. Rejects only if `signal` aborts. */
export async function fetchRobots(
  { origin, timeout }: { origin: string; timeout: number },
  signal: AbortSignal,
): Promise<RobotsResult> {
  let url = new URL("/robots.txt", origin).href;
  const shouldRead = (status: number) => status < 300;
  try {
    for (let hop = 0; hop <= ROBOTS_HOPS; hop++) {
      const answer = await get({
        url,
        accept: "text/plain",
        timeout,
        maxBytes: ROBOTS_BYTES,
        signal,
        shouldRead,
      });
      const { status, headers, body } = answer;
      if (status >= 500 || status === 429) return { why: `robots.txt: HTTP ${status}` };
      const next = status >= 300 && status < 400 && normalizeUrl(locationOf(headers), url);
      if (!next) return { text: status < 300 ? new TextDecoder().decode(body) : "" };
      url = next;
    }
    return { text: "" };
  } catch (error) {
    if (signal.aborted) throw error;
    return { why: `robots.txt: ${reasonOf(error)}` };
  }
}

/** Sends one request, without following redirects. */
async function get(
  { url, accept, timeout, maxBytes, signal, shouldRead }: FetchRequest,
): Promise<FetchedResponse> {
  const stop = new AbortController();
  const cancel = () => stop.abort(signal.reason);
  const timer = setTimeout(() => stop.abort(new Error(`no answer within ${timeout} ms`)), timeout);
  signal.addEventListener("abort", cancel);
  try {
    if (signal.aborted) cancel();
    const headers = { accept, "user-agent": USER_AGENT };
    const response = await fetch(url, { redirect: "manual", headers, signal: stop.signal });
    const { status } = response;
    if (
      shouldRead(status, response.headers) && !(Number(response.headers.get("content-length")) > maxBytes)
    ) {
      return { status, headers: response.headers, ...await read(response.body, maxBytes) };
    }
    await response.body?.cancel();
    return { status, headers: response.headers, body: new Uint8Array(), truncated: true };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", cancel);
  }
}

/** Reads up to the limit, counted after decompression. */
async function read(
  stream: Response["body"],
  maxBytes: number,
): Promise<Pick<FetchedResponse, "body" | "truncated">> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  // Leaving the loop cancels the stream.
  for await (const chunk of stream ?? []) {
    chunks.push(chunk.subarray(0, maxBytes - length));
    length += chunk.length;
    if (length > maxBytes) break;
  }
  const body = new Uint8Array(Math.min(length, maxBytes));
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
  }
  return { body, truncated: length > maxBytes };
}

function typeOf(headers: Headers): string {
  return (headers.get("content-type") ?? "").split(";", 1)[0]!.trim().toLowerCase().slice(0, 60);
}

function isHtml(headers: Headers): boolean {
  return ["text/html", "application/xhtml+xml"].includes(typeOf(headers));
}

/** The Location of a redirect. Header values arrive as bytes; raw UTF-8 is common, though not allowed. */
function locationOf(headers: Headers): string {
  const value = headers.get("location") ?? "";
  try {
    const bytes = Uint8Array.from(value, (char) => char.charCodeAt(0));
    const isBytes = bytes.every((byte, i) => byte === value.charCodeAt(i));
    return isBytes ? new TextDecoder("utf-8", { fatal: true }).decode(bytes) : value;
  } catch {
    return value;
  }
}

/** Retry-After in ms: seconds, or a date (RFC 9110 section 10.2.3). */
function retryAfterOf(headers: Headers): number | undefined {
  const value = headers.get("retry-after");
  if (value === null) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.now();
  return ms > 0 ? Math.min(Math.ceil(ms), MAX_RETRY_AFTER) : undefined;
}

/** The reason why fetch failed: the last part of the cause's message, which does not contain the URL. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const message = cause instanceof Error ? cause.message : String(cause);
  return message.slice(message.lastIndexOf("): ") + 1).replace(/^: /, "").slice(0, 200);
}
