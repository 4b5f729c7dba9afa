// The contract between peers, and the checks of keys, which also apply to keys from HTTP.

import { type Contract, defineService, method, RpcError } from "@troodon/rpc";
import type { ContractMethod } from "@troodon/rpc/server";

/** A cached value. Shared by all callers, so it must not be modified. */
export type Value = Uint8Array<ArrayBuffer>;

/** Identifies a requested value. */
export interface ValueRequest {
  readonly group: string;
  readonly key: string;
}

/** A value and its remaining time to live, in ms; without `ttl` it may be kept indefinitely. */
export interface CachedValue {
  readonly value: Value;
  readonly ttl?: number;
}

/** Maximum size of a value, in bytes. A value is sent in one message. */
export const MAX_VALUE_BYTES = 4 * 1024 * 1024;
/** Maximum length of a key, in UTF-16 code units. */
const MAX_KEY_LENGTH = 512;

/** The service of every peer. It returns a cached value or loads it, and never asks another peer. */
export const Cache: Contract<
  { get: ContractMethod<"call", ValueRequest, CachedValue, ValueRequest, CachedValue> }
> = defineService(
  "Cache",
  { get: method<ValueRequest, CachedValue>({ idempotent: true }) },
);

/**
 * Checks a key from outside.
 *
 * @throws {RpcError} `invalid_argument` if it is invalid
 */
export function checkKey(key: unknown): string {
  if (typeof key !== "string" || key === "") {
    throw new RpcError(
      "invalid_argument",
      "Cannot look up a value without a key: expected, for example, ?group=scores&key=Tom",
    );
  }
  if (key.length > MAX_KEY_LENGTH) {
    throw new RpcError(
      "invalid_argument",
      `Cannot look up a key of ${key.length} characters: expected at most ${MAX_KEY_LENGTH}`,
    );
  }
  return key;
}

/**
 * Checks the response of a peer.
 *
 * @throws {RpcError} `data_loss` if it has no value, or its ttl is invalid
 */
export function checkCachedValue(kept: CachedValue | null): CachedValue {
  const { value, ttl } = kept ?? {};
  if (!(value instanceof Uint8Array)) {
    throw new RpcError("data_loss", "Cannot use the response of a peer: it has no value");
  }
  if (ttl !== undefined && !Number.isFinite(ttl)) {
    throw new RpcError("data_loss", "Cannot use the response of a peer: its ttl is not a finite number");
  }
  return { value, ttl };
}

/**
 * Checks the request of a peer.
 *
 * @throws {RpcError} `invalid_argument` if it is invalid
 */
export function checkRequest(request: ValueRequest | null): ValueRequest {
  if (typeof request?.group !== "string") {
    throw new RpcError("invalid_argument", "Cannot look up a value: expected { group, key }");
  }
  return { group: request.group, key: checkKey(request.key) };
}
