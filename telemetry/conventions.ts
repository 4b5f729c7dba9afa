// Names and values as OpenTelemetry's semantic conventions have them for RPC, version 1.45.0:
// https://opentelemetry.io/docs/specs/semconv/rpc/

import type { AttributeValue } from "@opentelemetry/api";
import { type Code, isRpcError } from "../call/error.ts";

/** Named values of a span or a measurement. */
export type Attributes = Record<string, AttributeValue>;

/** `SpanKind` and `SpanStatusCode` of the API, whose values are not imported. */
export const SERVER = 1;
export const CLIENT = 2;
export const ERROR = 2;

/** Who calls (https://opentelemetry.io/docs/specs/semconv/registry/attributes/enduser/). */
export const CALLER_NAME = "enduser.id";

/** `rpc.system.name`. */
const SYSTEM = "troodon";

/** Codes that say that a server has failed, not its caller: as gRPC's conventions have it. */
const SERVER_ERRORS: ReadonlySet<string> = new Set<Code>([
  "unknown",
  "deadline_exceeded",
  "unimplemented",
  "internal",
  "unavailable",
  "data_loss",
]);

/** What a call that failed has beside that, for the side that made it. */
export function failureHere(error: unknown): Attributes {
  if (isRpcError(error)) return { "rpc.status_code": error.code, "error.type": error.code };
  return { "error.type": error instanceof Error ? error.name : "_OTHER" };
}

/** The same for the side that answered it, whose errors not all of them are. */
export function failureThere(code: Code): Attributes {
  const status = { "rpc.status_code": code };
  return SERVER_ERRORS.has(code) ? { ...status, "error.type": code } : status;
}

/** How many sets of attributes are kept. */
const MOST_SETS = 1_024;

/** What spans and measurements of a method have that is the same for all calls to or from one address. */
export class AttributeSets {
  readonly #prefix: "server" | "network.peer";
  /** By address, then by method. */
  readonly #sets = new Map<string, Map<string, Attributes>>();
  #size = 0;
  /** What was asked for last, which is often what is asked for next. */
  #last: { readonly method: string; readonly address: string; readonly set: Attributes } | undefined;

  /** @param prefix What the address is of */
  constructor(prefix: "server" | "network.peer") {
    this.#prefix = prefix;
  }

  /**
   * The attributes, which are not to be changed.
   *
   * @param address Empty = none
   */
  of(method: string, address: string): Attributes {
    const last = this.#last;
    if (last !== undefined && last.method === method && last.address === address) return last.set;
    const set = this.#sets.get(address)?.get(method) ?? this.#add(method, address);
    this.#last = { method, address, set };
    return set;
  }

  /** The attributes of an address alone. */
  place(address: string): Attributes {
    const [, path, name, port] =
      /^[a-z]+@(?:(\/[^]*)|(\[[^\]]*\]|[^/:[]*)(?::(\d+)(?:\/[^]*)?)?)$/.exec(address) ?? [];
    const host = path ?? name;
    if (host === undefined) return {};
    const place = { [`${this.#prefix}.address`]: host.replace(/^\[(.*)\]$/, "$1") };
    return port === undefined ? place : { ...place, [`${this.#prefix}.port`]: Number(port) };
  }

  #add(method: string, address: string): Attributes {
    // Addresses come and go, and a client may call whatever it likes.
    if (this.#size >= MOST_SETS) {
      this.#sets.clear();
      this.#size = 0;
    }
    this.#size++;
    const set = { "rpc.system.name": SYSTEM, "rpc.method": method, ...this.place(address) };
    const sets = this.#sets.get(address);
    if (sets === undefined) this.#sets.set(address, new Map([[method, set]]));
    else sets.set(method, set);
    return set;
  }
}
