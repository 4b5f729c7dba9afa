// What peers ask of each other, and what may be a key: the same for keys that come over HTTP.

import { type Contract, defineService, method, RpcError } from "@troodon/rpc";
import type { ContractMethod } from "@troodon/rpc/server";

/** A cached value. It is shared by everyone who asks for it, so nobody changes it. */
export type Value = Uint8Array<ArrayBuffer>;

/** Which value a peer wants. */
export interface Wanted {
  readonly group: string;
  readonly key: string;
}

/** A value, and for how much longer it may be kept, in ms; without `ttl` for as long as there is room. */
export interface Kept {
  readonly value: Value;
  readonly ttl?: number;
}

/** The longest value, in bytes. It crosses the wire in one message. */
export const MAX_VALUE_BYTES = 4 * 1024 * 1024;
/** The longest key, in UTF-16 units. */
export const MAX_KEY_LENGTH = 512;

/** The service of every peer. It answers with a value of its own or loads it, and never asks another peer. */
export const Cache: Contract<{ get: ContractMethod<"call", Wanted, Kept, Wanted, Kept> }> = defineService(
  "Cache",
  { get: method<Wanted, Kept>({ idempotent: true }) },
);

/**
 * Checks a key that came from outside.
 *
 * @throws {RpcError} `invalid_argument` if it is none
 */
export function checkKey(key: unknown): string {
  if (typeof key !== "string" || key === "") {
    throw new RpcError(
      "invalid_argument",
      "Cannot look up a value without a key: give one, as in ?group=scores&key=Tom",
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
 * Checks what a peer has answered.
 *
 * @throws {RpcError} `data_loss` if it is no value, or its time makes no sense
 */
export function checkKept(kept: Kept | null): Kept {
  const { value, ttl } = kept ?? {};
  if (!(value instanceof Uint8Array)) {
    throw new RpcError("data_loss", "Cannot use the answer of a peer: there is no value in it");
  }
  if (ttl !== undefined && !Number.isFinite(ttl)) {
    throw new RpcError("data_loss", "Cannot use the answer of a peer: its ttl is no finite number");
  }
  return { value, ttl };
}

/**
 * Checks what a peer asks for.
 *
 * @throws {RpcError} `invalid_argument` if it makes no sense
 */
export function checkWanted(wanted: Wanted | null): Wanted {
  if (typeof wanted?.group !== "string") {
    throw new RpcError("invalid_argument", "Cannot look up a value: expected { group, key }");
  }
  return { group: wanted.group, key: checkKey(wanted.key) };
}
