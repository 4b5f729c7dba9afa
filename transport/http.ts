// RPC over HTTP: the few lines that turn an HTTP connection into one of ours, on both sides. CONNECT as Go's net/rpc
// does it, and Upgrade (RFC 9110 section 7.8), which passes strict proxies. Requests for anything else on the same port
// are handed to a fetch handler, one a connection.

import { RpcError } from "../call/error.ts";
import { ANSWER_STARTS, gotInstead } from "./wrong_protocol.ts";
import { type Conn, writeAll } from "./conn.ts";
import type { LineReader } from "./line_reader.ts";
import { requestUrl } from "./request_url.ts";

/** Where RPC lives on an HTTP port unless an address says otherwise. */
export const RPC_PATH = "/_rpc_";
/** The longest head of a request or an answer. */
const MAX_HEAD_BYTES = 8_192;
/**
 * What a head may begin with: text, but not the brace of an option, whose sender waits for an answer and not for an
 * empty line.
 */
const HEAD_STARTS: ReadonlySet<number> = new Set(
  Array.from({ length: 0x7f }, (_, byte) => byte).filter((byte) =>
    byte === 0x0d || byte === 0x0a || byte >= 0x20 && byte !== 0x7b
  ),
);
const REQUEST_LINE = /^([A-Z]+) (\/\S*) HTTP\/1\.[01]$/;
/** Whom a request is for that does not say so: a name that is nobody's, by RFC 6761 section 6.4. */
const NOBODY = "unknown.invalid";
const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** Reason phrases of RFC 9110 for what is answered here, since a `Response` has none by itself. */
const REASONS: ReadonlyMap<number, string> = new Map([
  [200, "OK"],
  [400, "Bad Request"],
  [401, "Unauthorized"],
  [403, "Forbidden"],
  [404, "Not Found"],
  [405, "Method Not Allowed"],
  [421, "Misdirected Request"],
  [431, "Request Header Fields Too Large"],
  [500, "Internal Server Error"],
  [503, "Service Unavailable"],
]);

const encoder = new TextEncoder();

/** Answers what is asked on an HTTP port beside RPC; `peer` is where that comes from. */
export type FetchHandler = (request: Request, peer: string) => Response | Promise<Response>;

/**
 * The accepting side: reads a request and answers it.
 *
 * @param path Where RPC lives
 * @param handler Answers requests that are not for RPC
 * @returns Whether what follows is RPC. If not, whether there was a request, and whether its answer, which has been
 *   written, is an error
 */
export async function acceptHttp(
  conn: Conn,
  reader: LineReader,
  path: string,
  handler: FetchHandler,
): Promise<"rpc" | "answered" | "refused" | "gone"> {
  let head: Head;
  try {
    const lines = await readHead(reader, HEAD_STARTS);
    if (lines === null) return "gone";
    head = parseHead(lines);
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
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
  const response = await handle(head, path, (request) => handler(request, conn.peer));
  await respond(conn, response, method === "HEAD");
  return response.status < 400 ? "answered" : "refused";
}

/**
 * The dialling side: asks for RPC by CONNECT.
 *
 * @throws {RpcError} `unavailable` if the server does not agree
 */
export async function requestHttp(conn: Conn, reader: LineReader, path: string, host: string): Promise<void> {
  await writeAll(conn, encoder.encode(`CONNECT ${path} HTTP/1.0\r\nHost: ${host}\r\n\r\n`));
  let status = "";
  try {
    status = (await readHead(reader, ANSWER_STARTS))?.[0] ?? "nothing";
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    const got = gotInstead(reader.rest());
    if (got !== "") throw notRpc(path, got);
    status = error.message;
  }
  if (/^HTTP\/1\.[01] 200(?: |$)/.test(status)) return;
  throw notRpc(path, `, got ${JSON.stringify(status.slice(0, 64))}`);
}

function notRpc(path: string, got: string): RpcError {
  const message = `Cannot connect to RPC at ${path}: expected "200 Connected to RPC"${got}`;
  return new RpcError("unavailable", message, { notStarted: true });
}

/** Whether a method on the RPC path is none that leads to RPC, and the answer that says so. */
export function methodNotAllowed(): Response {
  const reason =
    "RPC begins here with CONNECT, or with GET and the headers Connection: Upgrade, Upgrade: rpc\n";
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
  // Of these, `Request` takes none; a body is not read, since nothing on this port takes one.
  if (method === "CONNECT" || method === "TRACE" || method === "TRACK") {
    return new Response(`${method} is not allowed here\n`, { status: 405, headers: { allow: "GET, HEAD" } });
  }
  const host = headers.get("host") || NOBODY;
  // Put together, and not the one resolved against the other: that would take the host from `//target/`.
  const url = requestUrl(`http://${host}${target}`, host);
  if (url === undefined) return new Response("Cannot read the target or the Host\n", { status: 400 });
  try {
    return await handler(new Request(url, { method, headers }));
  } catch {
    return new Response("The request could not be answered\n", { status: 500 });
  }
}

/** The lines of a head up to the empty one; null if the peer went away without a word. */
async function readHead(reader: LineReader, starts: ReadonlySet<number>): Promise<string[] | null> {
  const lines: string[] = [];
  for (let left = MAX_HEAD_BYTES;;) {
    let line: Uint8Array | null;
    try {
      line = await reader.line(left, lines.length === 0 ? starts : undefined);
    } catch (error) {
      if (error instanceof SyntaxError) throw new HttpError(400, "Expected an HTTP/1 request for a path");
      if (error instanceof RangeError) throw new HttpError(431, `The head is over ${MAX_HEAD_BYTES} bytes`);
      throw error;
    }
    if (line === null) return lines.length === 0 ? null : lines;
    left -= line.length;
    const text = new TextDecoder("latin1").decode(line).replace(/\r?\n$/, "");
    if (text === "") return lines;
    lines.push(text);
    if (left <= 0) throw new HttpError(431, `The head is over ${MAX_HEAD_BYTES} bytes`);
  }
}

function parseHead(lines: string[]): Head {
  const [, method, target] = REQUEST_LINE.exec(lines[0] ?? "") ?? [];
  if (method === undefined || target === undefined) {
    throw new HttpError(400, "Expected an HTTP/1 request for a path");
  }
  const headers = new Headers();
  for (const line of lines.slice(1)) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon);
    if (colon < 0 || !FIELD_NAME.test(name) || /[\0\r]/.test(line)) {
      throw new HttpError(400, "A header field is malformed");
    }
    headers.append(name, withoutBlanks(line, colon + 1));
  }
  return { method, target, headers };
}

/** What a line says from a place on, without blanks around it: `Headers` takes time that grows with their square. */
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
