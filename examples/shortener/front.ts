// The HTTP front of every node, whichever store it has: a form, `/add`, and a redirect for every key.

import { RpcError } from "@troodon/rpc";
import { escapeHtml, page, PAGE_HEADERS } from "./page.ts";
import type { Store } from "./store.ts";

/** What a form or a JSON document with one URL may come to: 2048 characters, each of them escaped, and some more. */
const MAX_BODY = 32 * 1_024;

/** Options of {@linkcode front}. */
export interface FrontOptions {
  /** What short URLs begin with, such as `https://sho.rt`; left out, what the request was sent to. */
  origin?: string;
  /** Told of what went wrong in here. */
  log?: (line: string) => void;
}

/** What the front answers instead of what it was asked for. */
class HttpError extends Error {
  readonly status: number;
  readonly headers: Record<string, string>;

  constructor(status: number, message: string, headers: Record<string, string> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/** What a request is answered with: as JSON, as a page, or as a line for a terminal, as it asks. */
interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly json: unknown;
  readonly html: string;
  readonly text: string;
}

/** Makes the handler for `Deno.serve`. */
export function front(store: Store, options: FrontOptions = {}): (request: Request) => Promise<Response> {
  const { log = () => {} } = options;
  return async (request) => {
    try {
      const path = pathOf(request.url);
      if (path === "/" || path === "/add") return await add(store, request, options.origin);
      return await redirect(store, request, path.slice(1));
    } catch (error) {
      return respond(request, asAnswer(toHttpError(error, log)));
    }
  };
}

/** The path as it was sent, up to the query. Making a URL object would cost as much as all the rest of a redirect. */
function pathOf(url: string): string {
  const start = url.indexOf("/", url.indexOf("//") + 2);
  if (start < 0) return "/";
  const end = url.indexOf("?", start);
  return end < 0 ? url.slice(start) : url.slice(start, end);
}

async function redirect(store: Store, request: Request, key: string): Promise<Response> {
  allow(request, "GET, HEAD");
  const location = await store.get(key);
  if (location === undefined) throw new HttpError(404, "There is no such short URL");
  return new Response(null, { status: 302, headers: { location } });
}

async function add(store: Store, request: Request, origin: string | undefined): Promise<Response> {
  allow(request, "GET, HEAD, POST");
  if (request.method !== "POST") return new Response(page(), { headers: PAGE_HEADERS });
  const begin = origin ?? URL.parse(request.url)?.origin;
  if (begin === undefined) throw new HttpError(400, "The header Host is none");
  const url = await readUrl(request);
  const short = `${begin}/${await store.put(url)}`;
  const shown = escapeHtml(short);
  return respond(request, {
    status: 201,
    headers: { location: short },
    json: { short, url },
    html: `<a href="${shown}">${shown}</a> leads to ${escapeHtml(url)}`,
    text: short,
  });
}

function allow(request: Request, methods: string): void {
  if (methods.split(", ").includes(request.method)) return;
  throw new HttpError(405, `Only ${methods} can be used here`, { allow: methods });
}

/** The URL in a form or a JSON document. What is not there is left to the store to refuse. */
async function readUrl(request: Request): Promise<string> {
  const type = contentType(request);
  if (type !== "application/x-www-form-urlencoded" && type !== "application/json") {
    throw new HttpError(
      415,
      'Expected a form with a field "url", or JSON such as {"url": "https://example.com/"}',
    );
  }
  const body = await readBody(request);
  if (type !== "application/json") return new URLSearchParams(body).get("url") ?? "";
  try {
    const { url } = JSON.parse(body);
    if (typeof url === "string") return url;
  } catch {
    // Said below.
  }
  throw new HttpError(400, 'Expected JSON such as {"url": "https://example.com/"}');
}

function contentType(request: Request): string {
  return (request.headers.get("content-type") ?? "").split(";", 1)[0]!.trim().toLowerCase();
}

async function readBody(request: Request): Promise<string> {
  const tooLarge = new HttpError(413, `Expected ${MAX_BODY} bytes at most: URLs may have 2048 characters`);
  if (Number(request.headers.get("content-length")) > MAX_BODY) throw tooLarge;
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  try {
    for await (const chunk of request.body ?? []) {
      bytes += chunk.length;
      if (bytes > MAX_BODY) throw tooLarge;
      text += decoder.decode(chunk, { stream: true });
    }
  } catch (error) {
    if (error === tooLarge) throw error;
    // Its sender has gone, or this node is told to end: Deno takes away what has not arrived by then.
    throw new HttpError(503, "The request had not arrived in time. Try again", { "retry-after": "1" });
  }
  return text + decoder.decode();
}

function toHttpError(error: unknown, log: (line: string) => void): HttpError {
  if (error instanceof HttpError) return error;
  if (error instanceof RpcError) {
    switch (error.code) {
      case "invalid_argument":
        return new HttpError(400, error.message);
      case "unavailable":
      case "deadline_exceeded":
      case "resource_exhausted":
        return new HttpError(503, "That cannot be done now: what keeps the URLs is away. Try again soon", {
          "retry-after": "1",
        });
    }
  }
  log(`cannot answer a request: ${error}`);
  return new HttpError(500, "Something went wrong");
}

function asAnswer({ status, message, headers }: HttpError): Answer {
  return { status, headers, json: { error: message }, html: escapeHtml(message), text: message };
}

function respond(request: Request, { status, headers, json, html, text }: Answer): Response {
  const accept = request.headers.get("accept") ?? "";
  if (accept.includes("text/html")) {
    return new Response(page(html), { status, headers: { ...headers, ...PAGE_HEADERS } });
  }
  if (accept.includes("application/json") || contentType(request) === "application/json") {
    return Response.json(json, { status, headers });
  }
  return new Response(`${text}\n`, { status, headers });
}
