// What a request asks for, by its method, content type and accept; or why it cannot be answered, and what would be right.

import { type MethodKind, streamsArgs, streamsResult } from "../call/contract.ts";
import { type Code, RpcError } from "../call/error.ts";
import type { Method } from "../call/handler.ts";
import { ENVELOPES } from "./envelopes.ts";
import { EVENTS, LINES } from "./event_stream.ts";
import type { Asked } from "./asked.ts";
import { isCompressed } from "./request_body.ts";
import type { StreamForm } from "./stream_form.ts";

/** A method that requests may ask for. */
export interface Route {
  /** Its name, such as `Arith.sum`. */
  readonly method: string;
  /** The method; undefined for unknown names. */
  readonly target: Method | undefined;
  /** What is a stream; undefined without a contract. */
  readonly kind: MethodKind | undefined;
  /** Whether it may be called by GET. */
  readonly readOnly: boolean;
  /** What a usual call asks for, made once. */
  readonly unary?: Asked;
}

/** A request that cannot be answered as it is. */
export class Unanswerable {
  readonly status: number;
  readonly code: Code;
  readonly message: string;
  readonly headers: readonly (readonly [string, string])[];

  constructor(
    status: number,
    code: Code,
    message: string,
    headers: readonly (readonly [string, string])[] = [],
  ) {
    this.status = status;
    this.code = code;
    this.message = message;
    this.headers = headers;
  }
}

const UNARY = "application/json";
const LINES_TYPE = LINES.contentType;
const ENVELOPES_TYPE = ENVELOPES.contentType;
/** A type, and then nothing, or UTF-8 as its charset. */
const CONTENT_TYPE = /^(application\/(?:json|connect\+json|x-ndjson))(?: ?; ?charset="?utf-8"?)?$/i;

/**
 * Decides how a POST is answered.
 *
 * @throws {RpcError} If it asks for another version of the Connect protocol
 */
export function negotiate(route: Route, headers: Headers): Asked | Unanswerable {
  const text = headers.get("content-type");
  const type = text === UNARY ? text : CONTENT_TYPE.exec(text ?? "")?.[1]?.toLowerCase();
  const version = headers.get("connect-protocol-version");
  if (version !== null && version !== "1") return wrongVersion(version);
  const { method, target, kind } = route;
  if (target === undefined) return asked(route, type === UNARY ? "body" : "none", undefined);
  if (type === UNARY && (kind === undefined || kind === "call")) return route.unary!;
  if (type === UNARY && kind === "serverStream") {
    const form = streamForm(headers);
    if (form !== undefined) return asked(route, "body", form);
  }
  if (type === ENVELOPES_TYPE && kind !== "call") {
    return asked(route, kind !== undefined && streamsArgs(kind) ? "items" : "only", ENVELOPES);
  }
  if (type === LINES_TYPE && (kind === undefined || streamsArgs(kind))) {
    const form = kind === "clientStream" ? undefined : streamForm(headers) ?? LINES;
    return asked(route, "items", form, "lines");
  }
  return unsupported(method, kind, text);
}

/** Decides how a GET is answered. */
export function negotiateGet(route: Route, headers: Headers, query: string): Asked | Unanswerable {
  const { method, kind, readOnly, target } = route;
  if (target === undefined) return asked(route, "none", undefined);
  if (!readOnly) return notAllowed(route);
  const form = kind === "serverStream" ? streamForm(headers) : undefined;
  if (kind === "serverStream" && form === undefined) {
    return new Unanswerable(406, "unknown", `${method} answers with a stream: ${STREAM_CURE}`);
  }
  const params = new URLSearchParams(query);
  const version = params.get("connect");
  if (version !== null && version !== "v1") return wrongVersion(version);
  const encoding = params.get("encoding");
  if (encoding !== "json" && !(encoding === null && form !== undefined)) {
    const message = `Cannot call ${method}: expected encoding=json in the query, and message=…`;
    return new Unanswerable(415, "unknown", message);
  }
  try {
    if (isCompressed(params.get("compression"))) {
      return new Unanswerable(
        501,
        "unimplemented",
        "Cannot read the query: it is compressed; known is identity",
      );
    }
  } catch (error) {
    return new Unanswerable(501, "unimplemented", (error as Error).message);
  }
  return { ...asked(route, "query", form), query: () => messageOf(params) };
}

/** The refusal of another HTTP method. */
export function notAllowed({ method, readOnly }: Route): Unanswerable {
  const allow = readOnly ? "GET, HEAD, POST" : "POST";
  const cure = readOnly ? "" : "; GET is for methods whose contract says readOnly";
  return new Unanswerable(405, "unknown", `Cannot call ${method}: expected ${allow}${cure}`, [[
    "allow",
    allow,
  ]]);
}

const STREAM_CURE = `accept ${EVENTS.contentType} or ${LINES_TYPE}`;

function asked(
  { method, target }: Route,
  args: Asked["args"],
  form: StreamForm | undefined,
  items: Asked["items"] = "envelopes",
): Asked {
  return { method, target, args, form, items };
}

/** How a stream is to be written for those who do not speak Connect's protocol. */
export function streamForm(headers: Headers): StreamForm | undefined {
  const accept = headers.get("accept");
  if (accept === null) return undefined;
  if (accept.includes(EVENTS.contentType)) return EVENTS;
  return accept.includes(LINES_TYPE) ? LINES : undefined;
}

function messageOf(params: URLSearchParams): Uint8Array<ArrayBuffer> {
  const message = params.get("message") ?? "";
  if (params.get("base64") !== "1") return new TextEncoder().encode(message);
  try {
    return Uint8Array.fromBase64(message, { alphabet: "base64url" });
  } catch {
    throw new RpcError("invalid_argument", "Cannot read the query: its message is not base64url");
  }
}

function wrongVersion(version: string): Unanswerable {
  const shown = JSON.stringify(version.slice(0, 64));
  return new Unanswerable(
    400,
    "invalid_argument",
    `Unknown version ${shown} of the Connect protocol; known is 1`,
  );
}

function unsupported(method: string, kind: MethodKind | undefined, got: string | null): Unanswerable {
  const types = acceptedTypes(kind);
  const shown = got === null ? "no content-type" : `content-type ${JSON.stringify(got.slice(0, 64))}`;
  const message = `Cannot call ${method} with ${shown}: expected ${types.join(" or ")}${cureFor(kind, got)}`;
  return new Unanswerable(415, "unknown", message, [["accept-post", types.join(", ")]]);
}

function acceptedTypes(kind: MethodKind | undefined): string[] {
  if (kind === undefined) return [UNARY, ENVELOPES_TYPE, LINES_TYPE];
  if (kind === "call") return [UNARY];
  return streamsArgs(kind) ? [ENVELOPES_TYPE, LINES_TYPE] : [ENVELOPES_TYPE, UNARY];
}

function cureFor(kind: MethodKind | undefined, got: string | null): string {
  const type = got?.toLowerCase() ?? "";
  if (type.includes("proto") || type.includes("grpc")) {
    return "; Connect clients send JSON with useBinaryFormat: false";
  }
  if (type.startsWith(UNARY) && kind !== undefined && streamsResult(kind)) return `, and ${STREAM_CURE}`;
  return type.includes("urlencoded") ? "; curl sends that with --json" : "";
}
