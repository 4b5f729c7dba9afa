// RPC over HTTP, both sides of switching an HTTP connection to RPC: CONNECT as in Go's net/rpc, and Upgrade (RFC 9110
// section 7.8), which passes strict proxies. All other requests on the port go to a fetch handler, one per connection.

import { RpcError } from "../call/error.ts";
import { gotInstead, isProxyHeader, mayStartAnswer } from "./wrong_protocol.ts";
import { type Conn, writeAll } from "./conn.ts";
import type { LineReader } from "./line_reader.ts";
import { requestUrl } from "./request_url.ts";
import { acceptOf, asksForWebSocket, webSocketAnswer } from "./websocket_handshake.ts";

/** The default path of RPC on an HTTP port. */
export const RPC_PATH = "/_rpc_";
const NO_REQUEST = "Expected an HTTP/1 request for a path";
/** The longest head of a request or an answer. */
const MAX_HEAD_BYTES = 8_192;
const REQUEST_LINE = /^([A-Z]+) (\/\S*) HTTP\/1\.[01]$/;
/** The host of requests without one: a name that never exists (RFC 6761 section 6.4). */
const NO_HOST = "unknown.invalid";
const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** Reason phrases (RFC 9110) of the statuses sent here, since a `Response` has none by default. */
const REASONS: ReadonlyMap<number, string> = new Map([
  [200, "OK"],
  [400, "Bad Request"],
  [401, "Unauthorized"],
  [403, "Forbidden"],
  [404, "Not Found"],
  [405, "Method Not Allowed"],
  [421, "Misdirected Request"],
  [426, "Upgrade Required"],
  [431, "Request Header Fields Too Large"],
  [500, "Internal Server Error"],
  [503, "Service Unavailable"],
]);

const encoder = new TextEncoder();

/** Handlers of an HTTP port. */
export interface HttpHandlers {
  /** Answers requests that are not for RPC. */
  readonly fetch: FetchHandler;
  /** Returns why a WebSocket is refused, such as for a foreign origin; undefined if it is accepted. */
  readonly refuseWebSocket: (headers: Headers, peer: string) => Response | undefined;
  /** Receives a message about a peer that speaks another protocol, such as TLS. */
  readonly log?: (message: string) => void;
}

/** Answers HTTP requests that are not for RPC; `peer` is the address of the client. */
export type FetchHandler = (request: Request, peer: string) => Response | Promise<Response>;

/**
 * The accepting side: reads a request and answers it.
 *
 * @param path The path of RPC
 * @returns Whether RPC follows, plain or in WebSocket frames. If not, whether there was a request, and whether its response,
 *   which has been written, is an error
 */
export async function acceptHttp(
  conn: Conn,
  reader: LineReader,
  path: string,
  { fetch, refuseWebSocket, log }: HttpHandlers,
): Promise<"rpc" | "websocket" | "answered" | "refused" | "gone"> {
  let head: Head;
  try {
    const lines = await readHead(reader, mayStartHead);
    if (lines === null) return "gone";
    head = parseHead(lines, reader);
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    const message = `${error.message}${error.message === NO_REQUEST ? gotInstead(reader.rest()) : ""}`;
    if (/, got (?!HTTP)/.test(message)) log?.(`Refused ${conn.peer}: ${message}`);
    await respond(conn, new Response(`${error.message}\n`, { status: error.status }));
    return "refused";
  }
  const { method, target, headers } = head;
  const pathname = target.split("?", 1)[0]!;
  if (pathname === path && method === "CONNECT") {
    await writeAll(conn, encoder.encode("HTTP/1.0 200 Connected to RPC\r\n\r\n"));
    return "rpc";
  }
  if (pathname === path && method === "GET" && headers.get("upgrade")?.toLowerCase() === "rpc") {
    const answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: rpc\r\n\r\n";
    await writeAll(conn, encoder.encode(answer));
    return "rpc";
  }
  if (pathname === path && asksForWebSocket(head)) {
    const answer = refuseWebSocket(headers, conn.peer) ?? await webSocketAnswer(headers);
    if (answer instanceof Response) await respond(conn, answer);
    else await writeAll(conn, answer);
    return answer instanceof Response ? "refused" : "websocket";
  }
  const response = await handle(head, path, (request) => fetch(request, conn.peer));
  await respond(conn, response, method === "HEAD");
  return response.status < 400 ? "answered" : "refused";
}

/** The accepting side: refuses a connection whose head has not been read. */
export function refuseHttp(conn: Conn, reason: string): Promise<void> {
  return respond(conn, new Response(`${reason}\n`, { status: 503 }));
}

/**
 * The dialing side: requests RPC by CONNECT.
 *
 * @throws {RpcError} `unavailable` if the server does not agree
 */
export async function requestHttp(conn: Conn, reader: LineReader, path: string, host: string): Promise<void> {
  await request(
    conn,
    reader,
    `CONNECT ${path} HTTP/1.0\r\nHost: ${host}\r\n\r\n`,
    path,
    "200 Connected to RPC",
  );
}

/**
 * The dialing side: requests a WebSocket.
 *
 * @throws {RpcError} `unavailable` if the server does not agree
 */
export async function requestWebSocket(
  conn: Conn,
  reader: LineReader,
  path: string,
  host: string,
): Promise<void> {
  const key = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16))));
  const expected = "101 Switching Protocols";
  const lines = await request(
    conn,
    reader,
    `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
    path,
    expected,
  );
  const headers = parseHeaders(lines);
  const agreed = headers.get("upgrade")?.toLowerCase() === "websocket" &&
    headers.get("sec-websocket-accept") === await acceptOf(key);
  if (!agreed || headers.has("sec-websocket-extensions")) {
    throw notRpc(path, expected, ", got another protocol");
  }
}

/** Sends a request. Returns the lines of the response's head, if its status is the expected one. */
async function request(
  conn: Conn,
  reader: LineReader,
  head: string,
  path: string,
  expected: string,
): Promise<string[]> {
  await writeAll(conn, encoder.encode(head));
  let status = "nothing";
  try {
    const lines = await readHead(reader, mayStartAnswer);
    if (lines?.[0] !== undefined) status = lines[0];
    if (/^HTTP\/1\.[01] (\d+)(?: |$)/.exec(status)?.[1] === expected.slice(0, 3)) return lines!;
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    const got = gotInstead(reader.rest());
    if (got !== "") throw notRpc(path, expected, got);
    status = error.message;
  }
  const got = status.startsWith("{") ? "RPC without HTTP" : JSON.stringify(status.slice(0, 64));
  throw notRpc(path, expected, `, got ${got}`);
}

function notRpc(path: string, expected: string, got: string): RpcError {
  const message = `Cannot connect to RPC at ${path}: expected "${expected}"${got}`;
  return new RpcError("unavailable", message, { notStarted: true });
}

/** The response to a request on the RPC path whose method does not start RPC. */
export function methodNotAllowed(): Response {
  const reason =
    "RPC begins here with CONNECT, or with GET and the headers Connection: Upgrade, Upgrade: rpc or websocket\n";
  return new Response(reason, { status: 405, headers: { allow: "CONNECT, GET" } });
}

interface Head {
  readonly method: string;
  readonly target: string;
  readonly headers: Headers;
}

class HttpError extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

async function handle(
  { method, target, headers }: Head,
  path: string,
  handler: (request: Request) => Response | Promise<Response>,
): Promise<Response> {
  if (target.split("?", 1)[0] === path) return methodNotAllowed();
  // `Request` does not accept these. Bodies are not read: no handler of this port needs one.
  if (method === "CONNECT" || method === "TRACE" || method === "TRACK") {
    return new Response(`${method} is not allowed here\n`, { status: 405, headers: { allow: "GET, HEAD" } });
  }
  const host = headers.get("host") || NO_HOST;
  // Concatenated, not resolved: resolving would take the host from `//target/`.
  const url = requestUrl(`http://${host}${target}`, host);
  if (url === undefined) {
    return new Response("Cannot parse the request target or the Host header\n", { status: 400 });
  }
  try {
    return await handler(new Request(url, { method, headers }));
  } catch {
    return new Response("The request could not be answered\n", { status: 500 });
  }
}

/** The lines of a head up to the empty one; null if the peer disconnected without sending anything. */
async function readHead(reader: LineReader, mayStart: (byte: number) => boolean): Promise<string[] | null> {
  const lines: string[] = [];
  for (let left = MAX_HEAD_BYTES;;) {
    let line: Uint8Array | null;
    try {
      line = await reader.line(left, lines.length === 0 ? mayStart : undefined);
    } catch (error) {
      if (error instanceof SyntaxError) throw new HttpError(400, NO_REQUEST);
      if (error instanceof RangeError) throw new HttpError(431, `The head is over ${MAX_HEAD_BYTES} bytes`);
      throw error;
    }
    if (line === null) return lines.length === 0 ? null : lines;
    left -= line.length;
    const text = new TextDecoder("latin1").decode(line).replace(/\r?\n$/, "");
    if (text === "") return lines;
    lines.push(text);
    // Nothing that looks like a head would follow.
    if (lines.length === 1 && isProxyHeader(line)) throw noRequest(line);
    if (left <= 0) throw new HttpError(431, `The head is over ${MAX_HEAD_BYTES} bytes`);
  }
}

function parseHead(lines: string[], reader: LineReader): Head {
  const [first] = lines;
  const [, method, target] = REQUEST_LINE.exec(first ?? "") ?? [];
  if (method === undefined || target === undefined) {
    // Version 2 of the PROXY protocol begins with an empty line.
    const rest = first === undefined ? reader.rest() : [];
    throw noRequest(new Uint8Array([...encoder.encode(first ?? "\r\n"), ...rest]));
  }
  // Otherwise a proxy could read another host than the server (RFC 9112 section 3.2).
  if (lines.filter((line) => /^host:/i.test(line)).length > 1) {
    throw new HttpError(400, "There is more than one Host header");
  }
  return { method, target, headers: parseHeaders(lines) };
}

function noRequest(bytes: Uint8Array): HttpError {
  return new HttpError(400, `${NO_REQUEST}${gotInstead(bytes)}`);
}

/** The header fields of a head, after its first line. */
function parseHeaders(lines: string[]): Headers {
  const headers = new Headers();
  for (const line of lines.slice(1)) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon);
    if (colon < 0 || !FIELD_NAME.test(name) || /[\0\r]/.test(line)) {
      throw new HttpError(400, "A header field is malformed");
    }
    headers.append(name, withoutBlanks(line, colon + 1));
  }
  return headers;
}

/** The rest of a line without surrounding blanks: `Headers` takes quadratic time to trim them. */
function withoutBlanks(line: string, from: number): string {
  let to = line.length;
  while (from < to && isBlank(line.charCodeAt(from))) from++;
  while (from < to && isBlank(line.charCodeAt(to - 1))) to--;
  return line.slice(from, to);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

async function respond(conn: Conn, response: Response, headOnly = false): Promise<void> {
  const headers = new Headers(response.headers);
  // Of a long answer the length is known, and its parts are written as the peer reads them.
  const body = headers.has("content-length") ? response.body : new Uint8Array(await response.arrayBuffer());
  if (body instanceof Uint8Array) headers.set("content-length", String(body.length));
  headers.set("connection", "close");
  const lines = [...headers].map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const head = encoder.encode(
    `HTTP/1.1 ${response.status} ${
      response.statusText || (REASONS.get(response.status) ?? "Other")
    }\r\n${lines}\r\n`,
  );
  try {
    await writeAll(conn, head);
    if (headOnly || body === null) return;
    if (body instanceof Uint8Array) return await writeAll(conn, body);
    for await (const part of body) await writeAll(conn, part);
  } finally {
    if (!(body instanceof Uint8Array) && !body?.locked) await body?.cancel();
  }
}

/**
 * Whether a head may begin with this byte: with text, but not with the brace of an option, whose sender waits for an answer
 * and not for an empty line.
 */
function mayStartHead(byte: number): boolean {
  return byte === 0x0d || byte === 0x0a || byte >= 0x20 && byte < 0x7f && byte !== 0x7b;
}
