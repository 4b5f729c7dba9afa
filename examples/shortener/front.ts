// The HTTP interface of every node, for any store: a form, `/add`, and a redirect for every key.

import { RpcError } from "@troodon/rpc";
import { escapeHtml, page, PAGE_HEADERS } from "./page.ts";
import type { Store } from "./store.ts";

/** Maximum size of a form or JSON document with one URL: 2048 characters, all escaped, and some overhead. */
const MAX_BODY = 32 * 1_024;

/** Options of {@linkcode front}. */
export interface FrontOptions {
  /** Returns the origin of short URLs, such as `https://sho.rt`. Never the `Host` of a request: the client chooses that. */
  origin: () => string;
  /** Receives messages about internal errors. */
  log?: (line: string) => void;
}

/** An error response. */
class HttpError extends Error {
  readonly status: number;
  readonly headers: Record<string, string>;

  constructor(status: number, message: string, headers: Record<string, string> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/** A response, rendered as JSON, as a page, or as a line for a terminal, depending on the request. */
interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly json: unknown;
  readonly html: string;
  readonly text: string;
}

/** Creates the handler for `Deno.serve`. */
export function front(store: Store, options: FrontOptions): (request: Request) => Promise<Response> {
  const { origin, log = () => {} } = options;
  return async (request) => {
    try {
      const path = pathOf(request);
      if (path === "/" || path === "/add") return await add(store, request, origin());
      return await redirect(store, request, path.slice(1));
    } catch (error) {
      return respond(request, asAnswer(toHttpError(error, log)));
    }
  };
}

/**
 * The path as sent, without the query. Creating a URL object would cost as much as the rest of a redirect. Deno joins
 * `Host` and path, so a `Host` with a path, query or fragment would change both.
 */
function pathOf({ url, headers }: Request): string {
  if (/[/?#\\]/.test(headers.get("host") ?? "")) throw new HttpError(400, "The header Host is invalid");
  const start = url.indexOf("/", url.indexOf("//") + 2);
  if (start < 0) return "/";
  const end = url.indexOf("?", start);
  return end < 0 ? url.slice(start) : url.slice(start, end);
}

async function redirect(store: Store, request: Request, key: string): Promise<Response> {
  allow(request, "GET, HEAD");
  const location = await store.get(key);
  if (location === undefined) throw new HttpError(404, "Unknown short URL");
  return new Response(null, { status: 302, headers: { location } });
}

async function add(store: Store, request: Request, origin: string): Promise<Response> {
  allow(request, "GET, HEAD, POST");
  if (request.method !== "POST") return new Response(page(), { headers: PAGE_HEADERS });
  const url = await readUrl(request);
  const short = `${origin}/${await store.put(url)}`;
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
  throw new HttpError(405, `Method not allowed: expected ${methods}`, { allow: methods });
}

/** The URL in a form or a JSON document. The store rejects a missing one. */
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
    // The error below covers invalid JSON, too.
  }
  throw new HttpError(400, 'Expected JSON such as {"url": "https://example.com/"}');
}

function contentType(request: Request): string {
  return (request.headers.get("content-type") ?? "").split(";", 1)[0]!.trim().toLowerCase();
}

async function readBody(request: Request): Promise<string> {
  const tooLarge = new HttpError(
    413,
    `The body is too long: expected at most ${MAX_BODY} bytes, and at most 2048 characters in the URL`,
  );
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
    // The client has disconnected, or this node is shutting down: Deno then discards incomplete bodies.
    throw new HttpError(503, "The request did not arrive in time. Try again", { "retry-after": "1" });
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
        return new HttpError(503, "The URL store is temporarily unavailable. Try again soon", {
          "retry-after": "1",
        });
    }
  }
  log(`cannot answer a request: ${error}`);
  return new HttpError(500, "Internal error");
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
