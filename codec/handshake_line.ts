// Encodes and decodes the two JSON lines of the handshake: the client's option, and the server's answer or rejection.
// session/handshake.ts sends and receives them.

import { isCode, RpcError } from "../call/error.ts";

/** Identifies the protocol in every option and answer: 0x3bef5c. */
export const MAGIC_NUMBER = 3_927_900;
/** The protocol version of this library. */
export const PROTOCOL_VERSION = 1;
/** Maximum length of a handshake line, with its LF, in bytes. */
export const MAX_LINE_BYTES = 4_096;
/** Minimum of a client's maxFrameBytes: an Error and a GoAway always fit. */
const MIN_FRAME_BYTES = 256;
/** A client's maxFrameBytes if its option has none. */
const DEFAULT_FRAME_BYTES = 4_194_304;
/** Minimum of a server's maxFrameBytes: frames that a client sends before it has read the answer always fit. */
export const MIN_SERVER_FRAME_BYTES = 65_536;
/** Minimum of a server's maxInFlight: as many calls as a client may send before it has read the answer. */
export const MIN_IN_FLIGHT = 16;
/** Maximum length of a rejection's message, in UTF-16 units. JSON needs up to six bytes for each. */
const MAX_REFUSAL_UNITS = 512;
/** The codec if the option names none. */
export const DEFAULT_CODEC = "application/cbor";

/** The client's handshake line. Times in ms, sizes in bytes. */
export interface Option {
  /** The media type of the codec for bodies. */
  readonly codecType: string;
  /** The client's timeout for connecting and the handshake, 0 = none. */
  readonly connectTimeout: number;
  /** Maximum duration of one call at the server, 0 = the server's own limit. */
  readonly handleTimeout: number;
  /** Maximum length of a frame that the client accepts. */
  readonly maxFrameBytes: number;
  /** Credential for the server's `authenticate`. */
  readonly token: string | undefined;
}

/** The server's handshake line, with the settings of the connection. Times in ms, sizes in bytes. */
export interface Answer {
  /** The media type of the codec for bodies of both sides. */
  readonly codecType: string;
  /** Maximum duration of one call, 0 = no limit. */
  readonly handleTimeout: number;
  /** Maximum length of a frame that the server accepts. */
  readonly maxFrameBytes: number;
  /** Maximum number of calls in flight. */
  readonly maxInFlight: number;
  /** Silence after which the server pings, 0 = never. */
  readonly heartbeatInterval: number;
  /** When the server ends the connection, counted from the handshake; 0 = never. */
  readonly maxConnectionAge: number;
  /** When the server ends the connection, counted from the last call; 0 = never. */
  readonly maxConnectionIdle: number;
}

type Fields = { readonly [name: string]: unknown };

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A limit or interval as encoded in the lines: 0 = none. */
export function wireLimit(limit: number | false): number {
  return limit === false || limit === Infinity ? 0 : limit;
}

/** Encodes the client's line. */
export function encodeOption(option: Option): Uint8Array<ArrayBuffer> {
  return line({ magicNumber: MAGIC_NUMBER, version: PROTOCOL_VERSION, ...option });
}

/** Encodes the server's line for an accepted connection. */
export function encodeAnswer(answer: Answer): Uint8Array<ArrayBuffer> {
  // Listed one by one, so that other properties of the object are never sent.
  const { codecType, handleTimeout, maxFrameBytes, maxInFlight, heartbeatInterval } = answer;
  const { maxConnectionAge, maxConnectionIdle } = answer;
  return line({
    magicNumber: MAGIC_NUMBER,
    version: PROTOCOL_VERSION,
    codecType,
    handleTimeout,
    maxFrameBytes,
    maxInFlight,
    heartbeatInterval,
    // JSON leaves out what is undefined.
    maxConnectionAge: maxConnectionAge || undefined,
    maxConnectionIdle: maxConnectionIdle || undefined,
  });
}

/** Encodes the server's line for a rejected connection. */
export function encodeRefusal(error: RpcError): Uint8Array<ArrayBuffer> {
  return line({ error: { code: error.code, message: error.message.slice(0, MAX_REFUSAL_UNITS) } });
}

/**
 * Decodes a client's line.
 *
 * @param bytes The line without its LF
 * @throws {RpcError} If the line is invalid; the error is the rejection to send to the client
 */
export function decodeOption(bytes: Uint8Array): Option {
  const fields = parse(bytes);
  if (field(fields, "magicNumber") !== MAGIC_NUMBER) {
    throw refusal(
      "invalid_argument",
      `magicNumber must be ${MAGIC_NUMBER}, got ${shown(field(fields, "magicNumber"))}`,
    );
  }
  const version = integer(fields, "version") ?? PROTOCOL_VERSION;
  if (version !== PROTOCOL_VERSION) {
    throw refusal("unimplemented", `version ${version} is not supported, expected ${PROTOCOL_VERSION}`);
  }
  return {
    codecType: text(fields, "codecType") ?? DEFAULT_CODEC,
    connectTimeout: integer(fields, "connectTimeout") ?? 10_000,
    handleTimeout: integer(fields, "handleTimeout") ?? 0,
    maxFrameBytes: integer(fields, "maxFrameBytes", MIN_FRAME_BYTES) ?? DEFAULT_FRAME_BYTES,
    token: text(fields, "token", true),
  };
}

/**
 * Decodes a server's line.
 *
 * @param bytes The line without its LF
 * @param codecType The codec that the client has requested; an answer with another one is an error
 * @throws {RpcError} The server's rejection, or what is invalid in the line
 */
export function decodeAnswer(bytes: Uint8Array, codecType: string): Answer {
  const fields = parse(bytes);
  const error = field(fields, "error");
  if (error !== undefined) {
    const { code, message } = Object(error) as { code?: unknown; message?: unknown };
    throw new RpcError(
      isCode(code) ? code : "unknown",
      typeof message === "string" ? message : "The server rejected the connection without a message",
      { remote: true, notStarted: true },
    );
  }
  if (field(fields, "magicNumber") !== MAGIC_NUMBER) {
    throw refusal(
      "invalid_argument",
      `magicNumber must be ${MAGIC_NUMBER}, got ${shown(field(fields, "magicNumber"))}`,
    );
  }
  if (field(fields, "version") !== PROTOCOL_VERSION) {
    throw refusal("unimplemented", `the server answered with version ${shown(field(fields, "version"))}`);
  }
  if (field(fields, "codecType") !== codecType) {
    throw refusal("unimplemented", `the server answered with codec ${shown(field(fields, "codecType"))}`);
  }
  return {
    codecType,
    handleTimeout: required(fields, "handleTimeout"),
    maxFrameBytes: required(fields, "maxFrameBytes", MIN_SERVER_FRAME_BYTES),
    maxInFlight: required(fields, "maxInFlight", MIN_IN_FLIGHT),
    heartbeatInterval: required(fields, "heartbeatInterval"),
    maxConnectionAge: integer(fields, "maxConnectionAge") ?? 0,
    maxConnectionIdle: integer(fields, "maxConnectionIdle") ?? 0,
  };
}

/**
 * The error of a rejected handshake: clients show it after the address, servers after the peer. Its call, if any, was not
 * started.
 */
export function refusal(code: RpcError["code"], what: string, cause?: unknown): RpcError {
  return new RpcError(code, what, { notStarted: true, cause });
}

/** A received value for a message, cut so that an error never echoes more than 64 bytes of it. */
export function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  const json = JSON.stringify(value) ?? typeof value;
  // A UTF-16 unit takes up to three bytes of UTF-8.
  return json.length > 20 ? `${json.slice(0, 20).toWellFormed()}…` : json;
}

function line(fields: object): Uint8Array<ArrayBuffer> {
  return encoder.encode(JSON.stringify(fields) + "\n");
}

/** Parses a line. Fields are only read by known names, and only if they are own properties. */
function parse(bytes: Uint8Array): Fields {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch {
    throw refusal("invalid_argument", "expected one line of JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw refusal("invalid_argument", "expected a JSON object");
  }
  return value as Fields;
}

function field(fields: Fields, name: string): unknown {
  return Object.hasOwn(fields, name) ? fields[name] : undefined;
}

function integer(fields: Fields, name: string, min = 0): number | undefined {
  const value = field(fields, name);
  if (value === undefined) return undefined;
  if (!Number.isSafeInteger(value) || (value as number) < min) {
    throw refusal(
      "invalid_argument",
      `${name} must be an integer from ${min} to 2^53-1, got ${shown(value)}`,
    );
  }
  return value as number;
}

/** @param secret Whether the value must not appear in the error, not even if it has the wrong type */
function text(fields: Fields, name: string, secret = false): string | undefined {
  const value = field(fields, name);
  if (value === undefined) return undefined;
  if (typeof value !== "string") {
    const got = secret ? `a value of type ${typeof value}` : shown(value);
    throw refusal("invalid_argument", `${name} must be text, got ${got}`);
  }
  return value;
}

function required(fields: Fields, name: string, min = 0): number {
  const value = integer(fields, name, min);
  if (value === undefined) throw refusal("invalid_argument", `the server's answer has no ${name}`);
  return value;
}
