// RpcError, the error of failed calls on both sides of the wire. Used by every other folder.

import { type Metadata, type MetadataInit, NO_METADATA, toMetadata } from "./metadata.ts";

/** The sixteen codes of failed calls, in gRPC's order and with gRPC's meaning. */
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
 * The reason why a call failed.
 *
 * Names and meanings are those of gRPC's status codes
 * (https://grpc.io/docs/guides/status-codes/), in the spelling of Connect.
 */
export type Code = typeof CODES[number];

const KNOWN: ReadonlySet<string> = new Set(CODES);

/** Marks RpcErrors for all copies of the library in the process. Peers cannot forge it: symbols are not sent on the wire. */
const BRAND = Symbol.for("@troodon/rpc RpcError 1");

/** Whether `text` is one of the sixteen {@linkcode Code}s. */
export function isCode(text: unknown): text is Code {
  return typeof text === "string" && KNOWN.has(text);
}

/** Options of an {@linkcode RpcError}. */
export interface RpcErrorOptions extends ErrorOptions {
  /** Structured data for the caller: any value that the connection's codec can encode. */
  details?: unknown;
  /**
   * Whether the peer sent the error.
   *
   * @default {false}
   */
  remote?: boolean;
  /**
   * Whether it is certain that no handler was started for the call, so that retrying is safe.
   *
   * @default {false}
   */
  notStarted?: boolean;
  /**
   * Delay in ms after which a retry is worthwhile, finite and from 0. Sent with the error.
   *
   * @default {undefined, no advice}
   */
  retryAfter?: number;
  /**
   * Metadata sent with the error: text or bytes by name.
   *
   * @default {no entries}
   */
  metadata?: MetadataInit;
}

/**
 * The error of every failed call. Handlers throw it to control the error that their callers see.
 *
 * Any other exception of a handler reaches the caller as `internal` with a fixed text, so that private details are not
 * sent by accident.
 *
 * `instanceof RpcError` is also true for errors created by another copy of this library in the same process.
 *
 * @example A handler that rejects an argument
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
  /** The reason, for programs. */
  readonly code: Code;
  /** Structured data sent with the error, if any. */
  readonly details: unknown;
  /** Whether the peer sent this error; false if it was raised locally. */
  readonly remote: boolean;
  /** Whether it is certain that no handler was started for the call. */
  readonly notStarted: boolean;
  /** Delay in ms after which a retry is worthwhile, if the sender of the error gave one. */
  readonly retryAfter: number | undefined;
  /** Metadata sent with the error by the peer's handler or interceptors. */
  readonly metadata: Metadata;
  /** The method whose call failed, such as `Arith.sum`. Set by the client that made the call, else undefined. */
  readonly method: string | undefined;
  /**
   * The address of the server where the call failed, such as `tcp@10.0.0.7:9999`. Set by the client that made the call;
   * undefined if no server was chosen for it.
   */
  readonly address: string | undefined;

  /**
   * Creates the error of a failed call.
   *
   * @param code The reason, one of the sixteen codes
   * @param message Text for people: what is wrong, and what to do
   * @param options Details, cause, metadata, and where the error comes from
   * @throws {TypeError} If the code is not one of the sixteen, or the metadata is invalid
   * @throws {RangeError} If `retryAfter` is negative or not finite
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

  /** Whether a value is an `RpcError`, created by any copy of the library. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    if (this === RpcError) return isRpcError(value);
    return Function.prototype[Symbol.hasInstance].call(this, value);
  }
}

function checkRetryAfter(retryAfter: number | undefined): number | undefined {
  if (retryAfter === undefined || Number.isFinite(retryAfter) && retryAfter >= 0) return retryAfter;
  throw new RangeError(
    `Cannot create an RpcError: expected retryAfter to be a finite number of ms from 0, got ${retryAfter}`,
  );
}

/** Sets the method and address of an error, unless they are set already. */
export function ofCall(error: RpcError, method: string | undefined, address: string | undefined): void {
  // The user may have frozen the error.
  if (Object.isFrozen(error)) return;
  const known = error as { method: string | undefined; address: string | undefined };
  known.method ??= method;
  known.address ??= address;
}

/**
 * Returns a promise that rejects with an error whose stack names the functions that await the promise. The error itself was
 * created where a reply was read or a timer fired, a stack that says nothing about the call.
 */
export function rejection(error: unknown): Promise<never> {
  // V8 finds the awaiting functions through the promise whose reaction is running, so the stack is captured in a reaction.
  // Callers have awaited the returned promise one microtask turn later, hence the first then().
  return Promise.resolve().then(nothing).then(function rejected() {
    if (isRpcError(error) && Object.isExtensible(error)) Error.captureStackTrace?.(error, rejected);
    throw error;
  });
}

function nothing(): void {}

/**
 * Whether a thrown value is an {@linkcode RpcError} of any copy of the library: it has the mark and the shape that this copy
 * relies on. Reading properties may throw, for instance on a proxy.
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
