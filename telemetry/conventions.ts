// Names and values of OpenTelemetry's semantic conventions for RPC, version 1.45.0:
// https://opentelemetry.io/docs/specs/semconv/rpc/

import type { AttributeValue } from "@opentelemetry/api";
import { type Code, isRpcError } from "../call/error.ts";

/** Attributes of a span or a measurement. */
export type Attributes = Record<string, AttributeValue>;

/** Values of the API's `SpanKind` and `SpanStatusCode`, copied since the package is not imported at run time. */
export const SERVER = 1;
export const CLIENT = 2;
export const ERROR = 2;

/** The caller's identity (https://opentelemetry.io/docs/specs/semconv/registry/attributes/enduser/). */
export const CALLER_NAME = "enduser.id";

/** `rpc.system.name`. */
const SYSTEM = "troodon";

/** Codes of errors that are the server's fault and not the caller's, as in gRPC's conventions. */
const SERVER_ERRORS: ReadonlySet<string> = new Set<Code>([
  "unknown",
  "deadline_exceeded",
  "unimplemented",
  "internal",
  "unavailable",
  "data_loss",
]);

/** Attributes of a failed call on the calling side. */
export function clientFailure(error: unknown): Attributes {
  if (isRpcError(error)) return { "rpc.status_code": error.code, "error.type": error.code };
  return { "error.type": error instanceof Error ? error.name : "_OTHER" };
}

/** Attributes of a failed call on the answering side, where only some codes are errors of the server. */
export function serverFailure(code: Code): Attributes {
  const status = { "rpc.status_code": code };
  return SERVER_ERRORS.has(code) ? { ...status, "error.type": code } : status;
}

/** Maximum number of cached sets of attributes. */
const MAX_SETS = 1_024;

/** Cached attributes of spans and measurements, by method and address. */
export class AttributeSets {
  readonly #prefix: "server" | "network.peer";
  /** By address, then by method. */
  readonly #sets = new Map<string, Map<string, Attributes>>();
  #size = 0;
  /** The last result, which is often requested again. */
  #last: { readonly method: string; readonly address: string; readonly set: Attributes } | undefined;

  /** @param prefix The prefix of the address attributes */
  constructor(prefix: "server" | "network.peer") {
    this.#prefix = prefix;
  }

  /**
   * The attributes of a method and an address. They must not be modified.
   *
   * @param address The address; empty = none
   */
  of(method: string, address: string): Attributes {
    const last = this.#last;
    if (last !== undefined && last.method === method && last.address === address) return last.set;
    const set = this.#sets.get(address)?.get(method) ?? this.#add(method, address);
    this.#last = { method, address, set };
    return set;
  }

  /** The attributes of an address. */
  ofAddress(address: string): Attributes {
    const [, path, name, port] =
      /^[a-z]+@(?:(\/[^]*)|(\[[^\]]*\]|[^/:[]*)(?::(\d+)(?:\/[^]*)?)?)$/.exec(address) ?? [];
    const host = path ?? name;
    if (host === undefined) return {};
    const attributes = { [`${this.#prefix}.address`]: host.replace(/^\[(.*)\]$/, "$1") };
    return port === undefined ? attributes : { ...attributes, [`${this.#prefix}.port`]: Number(port) };
  }

  #add(method: string, address: string): Attributes {
    // Bounded, since addresses change and a client may call any method name.
    if (this.#size >= MAX_SETS) {
      this.#sets.clear();
      this.#size = 0;
    }
    this.#size++;
    const set = { "rpc.system.name": SYSTEM, "rpc.method": method, ...this.ofAddress(address) };
    const sets = this.#sets.get(address);
    if (sets === undefined) this.#sets.set(address, new Map([[method, set]]));
    else sets.set(method, set);
    return set;
  }
}
