// One HTTP exchange with a registry, bounded in time and size. Used by RegistryDiscovery and by announce().

import { contained } from "../call/ambient.ts";
import { RpcError } from "../call/error.ts";
import type { Clock } from "./clock.ts";

const DEFAULT_PATH = "/_rpc_/registry";

/**
 * The part of the global `fetch` that is needed here, so that another may take its place. It must heed the signal.
 */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** The global one, whichever that is when it is asked. */
export const globalFetch: Fetch = (url, init) => contained(() => fetch(url, init));

/** Where a registry is: one URL, or those of several processes that serve the same store. */
export type RegistryUrl = string | URL | readonly (string | URL)[];

/** What to ask, and within which bounds. */
export interface RegistryRequest {
  fetch: Fetch;
  clock: Clock;
  method: "GET" | "POST" | "DELETE";
  url: URL;
  headers?: Record<string, string>;
  /** Sent as JSON. */
  body?: unknown;
  /** In ms, for all of it. */
  timeout: number;
  /** Of the answer. */
  maxBytes: number;
  /** Gives up before the timeout. */
  signal?: AbortSignal;
}

/** What came back. */
export interface RegistryAnswer {
  status: number;
  text: string;
}

/**
 * Takes the URL of a registry, or several.
 *
 * @throws {TypeError} If one is none, or there is none
 */
export function toRegistryUrls(urls: RegistryUrl): readonly URL[] {
  const all = typeof urls === "string" || urls instanceof URL ? [urls] : [...urls];
  if (all.length === 0) throw new TypeError("Cannot use no registry URL: expected at least one");
  return all.map(toRegistryUrl);
}

/** The headers that show a token, if there is one. */
export function tokenHeaders(token: string | undefined): Record<string, string> {
  if (token === undefined) return {};
  if (typeof token === "string" && /^[\x21-\x7e]+$/.test(token)) return { authorization: `Bearer ${token}` };
  throw new TypeError("Cannot use token: expected a text of visible ASCII characters");
}

function toRegistryUrl(text: string | URL): URL {
  const url = URL.parse(String(text));
  if (url === null || url.protocol !== "http:" && url.protocol !== "https:") {
    throw new TypeError(
      `Cannot use registry URL ${JSON.stringify(String(text))}: expected one such as http://127.0.0.1:9999`,
    );
  }
  if (url.username !== "" || url.password !== "") {
    throw new TypeError(`Cannot use registry URL of ${url.host}: it must not contain a user or a password`);
  }
  url.hash = "";
  if (url.pathname === "/" && url.search === "") url.pathname = DEFAULT_PATH;
  return url;
}

/**
 * Asks a registry.
 *
 * @returns Its answer, whatever the status
 * @throws {RpcError} `unavailable` if there is no whole answer within the bounds; the message names the URL
 */
export async function askRegistry(request: RegistryRequest): Promise<RegistryAnswer> {
  const { clock, signal, url } = request;
  const controller = new AbortController();
  const onAbort = () => controller.abort(signal?.reason);
  const cancelTimer = clock.setTimer(
    () => controller.abort(new Error(`no answer within ${request.timeout} ms`)),
    request.timeout,
  );
  signal?.addEventListener("abort", onAbort);
  if (signal?.aborted) onAbort();
  try {
    const response = await request.fetch(url.href, {
      method: request.method,
      headers: { accept: "application/json", ...request.headers },
      body: request.body === undefined ? undefined : JSON.stringify(request.body),
      signal: controller.signal,
    });
    return { status: response.status, text: await readText(response, request.maxBytes) };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new RpcError("unavailable", `Cannot reach registry at ${url.href}: ${reason}`, { cause });
  } finally {
    cancelTimer();
    signal?.removeEventListener("abort", onAbort);
  }
}

async function readText(response: Response, maxBytes: number): Promise<string> {
  if (response.body === null) return "";
  const reader = response.body.getReader();
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let bytes = 0;
  let text = "";
  try {
    // By a reader: not every browser can iterate over a stream.
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return text + decoder.decode();
      bytes += value.length;
      if (bytes > maxBytes) throw new Error(`its answer is longer than ${maxBytes} bytes`);
      text += decoder.decode(value, { stream: true });
    }
  } finally {
    // Frees the connection if the rest is not wanted.
    reader.cancel().catch(() => {});
  }
}
