// `serveHttp` for Node and Bun, over `node:http`: turns requests and responses into those of `fetch` handlers. Used by programs that
// serve a registry or a server's `fetch`.

import type { IncomingMessage, ServerResponse } from "node:http";
import { safeLog } from "../call/log.ts";
import { requestUrl } from "../transport/request_url.ts";
import { nodeModule } from "../transport/runtime.ts";
import type { HttpHandler, HttpServer, ServeHttpOptions } from "./serve.ts";

/**
 * Serves HTTP in Node and Bun, like `serveHttp` of `@troodon/rpc` in Deno, but resolves when it listens.
 *
 * @example
 * ```ts
 * import { Registry, serveHttp } from "@troodon/rpc/node";
 *
 * await using registry = new Registry();
 * await using http = await serveHttp({ port: 0 }, registry.fetch);
 * const list = await fetch(`http://127.0.0.1:${http.addr.port}/_rpc_/registry`);
 * console.log((await list.json()).servers); // []
 * ```
 *
 * @param options The address to listen on
 * @param handler Handles requests, such as `registry.fetch` or `server.fetch`
 * @returns The server
 * @throws {Error} If the address is in use or not allowed
 */
export async function serveHttp(options: ServeHttpOptions, handler: HttpHandler): Promise<HttpServer> {
  const { hostname = "127.0.0.1", port, signal } = options;
  const log = safeLog(options.log);
  const { createServer } = nodeModule<typeof import("node:http")>("node:http");
  signal?.throwIfAborted();
  const server = createServer((message, response) => void exchange(handler, message, response));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: hostname, port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  server.on("error", (error) => log?.(`Cannot accept connections: ${error.message}`));
  const address = server.address();
  const addr = {
    transport: "tcp" as const,
    hostname,
    port: typeof address === "object" ? address?.port ?? port : port,
  };
  const closed = new Promise<void>((resolve) => server.once("close", resolve));
  const stop = () => {
    server.close();
    server.closeAllConnections();
  };
  signal?.addEventListener("abort", stop, { once: true });
  const shutdown = async () => {
    signal?.removeEventListener("abort", stop);
    server.close();
    server.closeIdleConnections();
    await closed;
  };
  return { addr, shutdown, [Symbol.asyncDispose]: shutdown };
}

/** Answers one request. Never rejects. */
async function exchange(
  handler: HttpHandler,
  message: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  // A lost connection also ends the body of the response, which reports it.
  response.on("error", () => {});
  let answer: Response;
  try {
    const request = toRequest(message, gone.signal);
    answer = request === undefined
      ? new Response("Cannot read the target or the Host\n", { status: 400 })
      : await handler(request, { remoteAddr: remoteAddress(message) });
  } catch {
    answer = new Response("The request could not be answered\n", { status: 500 });
  }
  try {
    await send(answer, response, message.method === "HEAD");
  } catch {
    response.destroy();
  }
}

/** The request; undefined if its target or `Host` is invalid. */
function toRequest(message: IncomingMessage, signal: AbortSignal): Request | undefined {
  const { method = "GET", url: target = "/", rawHeaders } = message;
  const host = message.headers.host ?? null;
  const url = requestUrl(
    target.startsWith("/") ? `http://${host || "unknown.invalid"}${target}` : target,
    host,
  );
  if (url === undefined) return undefined;
  const headers = new Headers();
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) headers.append(rawHeaders[i]!, rawHeaders[i + 1]!);
  const init: RequestInit & { duplex?: "half" } = { method, headers, signal };
  if (method !== "GET" && method !== "HEAD") {
    const { Readable } = nodeModule<typeof import("node:stream")>("node:stream");
    init.body = Readable.toWeb(message) as ReadableStream<Uint8Array<ArrayBuffer>>;
    init.duplex = "half";
  }
  return new Request(url, init);
}

function remoteAddress({ socket }: IncomingMessage): { transport: string; hostname?: string; port?: number } {
  return { transport: "tcp", hostname: socket.remoteAddress, port: socket.remotePort };
}

/** Sends a response as fast as its client reads. */
async function send(answer: Response, response: ServerResponse, headOnly: boolean): Promise<void> {
  const headers = new Headers(answer.headers);
  // The length of a response that Deno.serve has to close the connection after is one more than that of its body.
  if (headers.get("connection") === "close") headers.delete("content-length");
  response.writeHead(answer.status, [...headers].flat());
  if (headOnly || answer.body === null) {
    await answer.body?.cancel();
    return void response.end();
  }
  const reader = answer.body.getReader();
  // A body may wait for data for a long time: its reading ends when the client leaves.
  response.on("close", () => void reader.cancel().catch(() => {}));
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (!response.write(part.value)) await drained(response);
  }
  response.end();
}

/** Waits until a response has sent what it has buffered, or its client has left. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.on("drain", done);
    response.on("close", done);
    if (response.destroyed) done();
  });
}
