// The handshake's two lines of JSON, pure: the client's option, and the server's answer or refusal. Who reads and
// writes them, and in what time, is session/handshake.ts.

import { isCode, RpcError } from "../call/error.ts";

/** 0x3bef5c: what every option and every answer begins its meaning with. */
export const MAGIC_NUMBER = 3_927_900;
/** The version of the wire that this library speaks. */
export const PROTOCOL_VERSION = 1;
/** The longest handshake line, with its LF. */
export const MAX_LINE_BYTES = 4_096;
/** The least that a client may take: an Error and a GoAway always fit. */
const LEAST_FRAME_BYTES = 256;
/** What a client takes that does not say. */
const DEFAULT_FRAME_BYTES = 4_194_304;
/** The least that a server may take: what a client sends before it has read the answer always fits. */
const LEAST_SERVER_FRAME_BYTES = 65_536;
const LEAST_IN_FLIGHT = 16;
/** The longest message of a refusal, in UTF-16 units: JSON writes up to six bytes for each. */
const LONGEST_MESSAGE = 512;
/** The codec that holds when the option names none. */
export const DEFAULT_CODEC = "application/cbor";

/** What a client asks for. Times in ms, sizes in bytes. */
export interface Option {
  /** The media type of the codec that bodies are written in. */
  readonly codecType: string;
  /** How long the client gives to connecting and this handshake, 0 = for ever. */
  readonly connectTimeout: number;
  /** How long the server may spend on one call, 0 = the server's own limit. */
  readonly handleTimeout: number;
  /** The longest frame that the client takes. */
  readonly maxFrameBytes: number;
  /** A credential for the server's `authenticate`. */
  readonly token: string | undefined;
}

/** What holds for the connection, as the server says. Times in ms, sizes in bytes. */
export interface Answer {
  /** The codec of both sides' bodies. */
  readonly codecType: string;
  /** How long one call may take, 0 = no limit. */
  readonly handleTimeout: number;
  /** The longest frame that the server takes. */
  readonly maxFrameBytes: number;
  /** How many calls may be in flight at once. */
  readonly maxInFlight: number;
  /** After how long a silence the server pings, 0 = never. */
  readonly heartbeatInterval: number;
  /** When the server ends the connection, counted from the handshake; 0 = never. */
  readonly maxConnectionAge: number;
  /** When the server ends the connection, counted from the last call; 0 = never. */
  readonly maxConnectionIdle: number;
}

type Fields = { readonly [name: string]: unknown };

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A limit, or an interval, as the lines have it: 0 stands for none. */
export function wireLimit(limit: number | false): number {
  return limit === false || limit === Infinity ? 0 : limit;
}

/** The client's line. */
export function encodeOption(option: Option): Uint8Array<ArrayBuffer> {
  return line({ magicNumber: MAGIC_NUMBER, version: PROTOCOL_VERSION, ...option });
}

/** The server's line when it accepts. */
export function encodeAnswer(answer: Answer): Uint8Array<ArrayBuffer> {
  // Named one by one: what else a server may hold is nobody's business.
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

/** The server's line when it refuses. */
export function encodeRefusal(error: RpcError): Uint8Array<ArrayBuffer> {
  return line({ error: { code: error.code, message: error.message.slice(0, LONGEST_MESSAGE) } });
}

/**
 * Reads a client's line.
 *
 * @param bytes The line without its LF
 * @throws {RpcError} With the refusal that the client is to be sent
 */
export function decodeOption(bytes: Uint8Array): Option {
  const fields = parse(bytes);
  if (field(fields, "magicNumber") !== MAGIC_NUMBER) {
    throw refusal(
      "invalid_argument",
      `magicNumber must be ${MAGIC_NUMBER}, got ${shown(field(fields, "magicNumber"))}`,
    );
  }
  const version = whole(fields, "version") ?? PROTOCOL_VERSION;
  if (version !== PROTOCOL_VERSION) {
    throw refusal("unimplemented", `version ${version} is not spoken here, only ${PROTOCOL_VERSION}`);
  }
  return {
    codecType: text(fields, "codecType") ?? DEFAULT_CODEC,
    connectTimeout: whole(fields, "connectTimeout") ?? 10_000,
    handleTimeout: whole(fields, "handleTimeout") ?? 0,
    maxFrameBytes: whole(fields, "maxFrameBytes", LEAST_FRAME_BYTES) ?? DEFAULT_FRAME_BYTES,
    token: text(fields, "token", true),
  };
}

/**
 * Reads a server's line.
 *
 * @param bytes The line without its LF
 * @param codecType The codec that was asked for: a server that answers with another is not followed
 * @throws {RpcError} The server's refusal, or what is wrong with the line
 */
export function decodeAnswer(bytes: Uint8Array, codecType: string): Answer {
  const fields = parse(bytes);
  const error = field(fields, "error");
  if (error !== undefined) {
    const { code, message } = Object(error) as { code?: unknown; message?: unknown };
    throw new RpcError(
      isCode(code) ? code : "unknown",
      typeof message === "string" ? message : "The server refused the connection without saying why",
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
    maxFrameBytes: required(fields, "maxFrameBytes", LEAST_SERVER_FRAME_BYTES),
    maxInFlight: required(fields, "maxInFlight", LEAST_IN_FLIGHT),
    heartbeatInterval: required(fields, "heartbeatInterval"),
    maxConnectionAge: whole(fields, "maxConnectionAge") ?? 0,
    maxConnectionIdle: whole(fields, "maxConnectionIdle") ?? 0,
  };
}

/** A refusal of the handshake: the call, if any, was not started. */
export function refusal(code: RpcError["code"], what: string, cause?: unknown): RpcError {
  return new RpcError(code, `Cannot accept handshake: ${what}`, { notStarted: true, cause });
}

/** What a peer sent, cut so that an error never echoes more than 64 bytes of it. */
export function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  const json = JSON.stringify(value) ?? typeof value;
  // A UTF-16 unit takes up to three bytes of UTF-8.
  return json.length > 20 ? `${json.slice(0, 20).toWellFormed()}…` : json;
}

function line(fields: object): Uint8Array<ArrayBuffer> {
  return encoder.encode(JSON.stringify(fields) + "\n");
}

/** The fields of a line; only names of our own are looked up in it, and only as its own. */
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

function whole(fields: Fields, name: string, least = 0): number | undefined {
  const value = field(fields, name);
  if (value === undefined) return undefined;
  if (!Number.isSafeInteger(value) || (value as number) < least) {
    throw refusal(
      "invalid_argument",
      `${name} must be a whole number from ${least} to 2^53-1, got ${shown(value)}`,
    );
  }
  return value as number;
}

/** @param secret Whether its value is nobody's business, not even if it is of a wrong type */
function text(fields: Fields, name: string, secret = false): string | undefined {
  const value = field(fields, name);
  if (value === undefined) return undefined;
  if (typeof value !== "string") {
    const got = secret ? `a value of type ${typeof value}` : shown(value);
    throw refusal("invalid_argument", `${name} must be text, got ${got}`);
  }
  return value;
}

function required(fields: Fields, name: string, least = 0): number {
  const value = whole(fields, name, least);
  if (value === undefined) throw refusal("invalid_argument", `the server's answer lacks ${name}`);
  return value;
}
