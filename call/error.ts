// What a failed call rejects with, on both sides of the wire. Used by every other folder.

import { type Metadata, type MetadataInit, NO_METADATA, toMetadata } from "./metadata.ts";

/** The sixteen codes of a failed call, in the order and with the meaning that gRPC gave them. */
export const CODES = [
  "canceled",
  "unknown",
  "invalid_argument",
  "deadline_exceeded",
  "not_found",
  "already_exists",
  "permission_denied",
  "resource_exhausted",
  "failed_precondition",
  "aborted",
  "out_of_range",
  "unimplemented",
  "internal",
  "unavailable",
  "data_loss",
  "unauthenticated",
] as const;

/**
 * Why a call failed.
 *
 * The names and their meaning are those of gRPC's status codes
 * (https://grpc.io/docs/guides/status-codes/), written as Connect writes them.
 */
export type Code = typeof CODES[number];

const KNOWN: ReadonlySet<string> = new Set(CODES);

/** Marks RpcErrors for every copy of the library in the process. What a peer sends has no symbols, so never this mark. */
const BRAND = Symbol.for("@troodon/rpc RpcError 1");

/** Whether `text` is one of the sixteen {@linkcode Code}s. */
export function isCode(text: unknown): text is Code {
  return typeof text === "string" && KNOWN.has(text);
}

/** What an {@linkcode RpcError} carries besides code and message. */
export interface RpcErrorOptions extends ErrorOptions {
  /** Structured data for the caller: anything that the connection's codec can carry. */
  details?: unknown;
  /**
   * Whether the error came from the other side of the connection.
   *
   * @default {false}
   */
  remote?: boolean;
  /**
   * Whether it is certain that no handler was started for the call, so that it may be sent again.
   *
   * @default {false}
   */
  notStarted?: boolean;
  /**
   * After how long another attempt makes sense, in ms; travels with the error.
   *
   * @default {undefined, which says nothing about that}
   */
  retryAfter?: number;
  /**
   * Text and bytes by name that travel with the error.
   *
   * @default {no entries}
   */
  metadata?: MetadataInit;
}

/**
 * The error of every failed call, and the one a handler throws to choose what its caller sees.
 *
 * Anything else that a handler throws reaches the caller as `internal` with a fixed text, so that
 * nothing private crosses the wire by accident.
 *
 * `instanceof RpcError` is also true for errors that another copy of this library in the same process has made.
 *
 * @example A handler that refuses an argument
 * ```ts
 * import { RpcError } from "@troodon/rpc";
 *
 * function divide({ a, b }: { a: number; b: number }): number {
 *   if (b === 0) throw new RpcError("invalid_argument", "Cannot divide by zero", { details: { argument: "b" } });
 *   return a / b;
 * }
 * ```
 */
export class RpcError extends Error {
  /** Always `"RpcError"`. */
  override readonly name = "RpcError";
  /** One of sixteen reasons, for programs. */
  readonly code: Code;
  /** Structured data that came with the error, if any. */
  readonly details: unknown;
  /** Whether the other side sent this error, rather than this one finding it out. */
  readonly remote: boolean;
  /** Whether it is certain that no handler was started for the call. */
  readonly notStarted: boolean;
  /** After how long another attempt makes sense, in ms, if whoever made the error says so. */
  readonly retryAfter: number | undefined;
  /** What came beside the error, from the other side's handler or interceptors. */
  readonly metadata: Metadata;
  /** The method whose call failed, such as `Arith.sum`. Set by the client that made the call, else undefined. */
  readonly method: string | undefined;
  /**
   * The address of the server where the call failed, such as `tcp@10.0.0.7:9999`. Set by the client that made the call;
   * undefined if no server was chosen for it.
   */
  readonly address: string | undefined;

  /**
   * Makes an error that says why a call failed.
   *
   * @param code One of the sixteen codes
   * @param message For people: what was wrong, and what to do
   * @param options Details, cause, and where the error comes from
   * @throws {TypeError} If the code is not one of the sixteen, or the metadata cannot be sent
   * @throws {RangeError} If `retryAfter` is negative or not a finite number
   */
  constructor(code: Code, message: string, options: RpcErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    if (!isCode(code)) throw new TypeError(`Cannot create an RpcError: unknown code ${JSON.stringify(code)}`);
    this.code = code;
    this.details = options.details;
    this.remote = options.remote ?? false;
    this.notStarted = options.notStarted ?? false;
    this.retryAfter = checkRetryAfter(options.retryAfter);
    const { metadata } = options;
    this.metadata = metadata instanceof Map ? metadata : toMetadata(metadata) ?? NO_METADATA;
  }

  static {
    Object.defineProperty(this.prototype, BRAND, { value: true });
  }

  /** Whether a value is an `RpcError`, of whichever copy of the library. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    if (this === RpcError) return isRpcError(value);
    return Function.prototype[Symbol.hasInstance].call(this, value);
  }
}

function checkRetryAfter(retryAfter: number | undefined): number | undefined {
  if (retryAfter === undefined || Number.isFinite(retryAfter) && retryAfter >= 0) return retryAfter;
  throw new RangeError(
    `Cannot create an RpcError: expected retryAfter in ms of at least 0, got ${retryAfter}`,
  );
}

/** Notes which call an error is of, unless that is known. */
export function ofCall(error: RpcError, method: string, address: string | undefined): void {
  // One that a user has frozen stays as it is.
  if (Object.isFrozen(error)) return;
  const known = error as { method: string | undefined; address: string | undefined };
  known.method ??= method;
  known.address ??= address;
}

/**
 * A promise that rejects with an error, whose stack then names the functions that await the promise: the error itself was
 * made where an answer was read or a timer rang, which says nothing about the call.
 */
export function rejection(error: unknown): Promise<never> {
  // V8 finds awaiting functions by way of the promise whose reaction is running, so the stack is captured in one. It takes
  // one more turn of the microtask queue until those who are given this promise wait for it.
  return Promise.resolve().then(nothing).then(function rejected() {
    if (isRpcError(error) && Object.isExtensible(error)) Error.captureStackTrace?.(error, rejected);
    throw error;
  });
}

function nothing(): void {}

/**
 * Whether something that was thrown is an {@linkcode RpcError}, of this copy of the library or another: it has the mark,
 * and the shape that this copy works with. A proxy may throw even when it is only looked at.
 */
export function isRpcError(error: unknown): error is RpcError {
  if (typeof error !== "object" || error === null) return false;
  try {
    const { code, message, metadata } = error as RpcError;
    return BRAND in error && isCode(code) && typeof message === "string" && metadata instanceof Map;
  } catch {
    return false;
  }
}
