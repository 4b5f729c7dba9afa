// Names and values as OpenTelemetry's semantic conventions have them for RPC, version 1.45.0:
// https://opentelemetry.io/docs/specs/semconv/rpc/

import type { AttributeValue, Histogram, Meter } from "@opentelemetry/api";
import { type Code, isRpcError } from "../call/error.ts";

/** Named values of a span or a measurement. */
export type Attributes = Record<string, AttributeValue>;

/** `SpanKind` and `SpanStatusCode` of the API, whose values are not imported. */
export const SERVER = 1;
export const CLIENT = 2;
export const ERROR = 2;

/** `rpc.system.name`. */
const SYSTEM = "troodon";

/** The boundaries that the conventions advise, in s. */
const BOUNDARIES = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

/** Codes that say that a server has failed, not its caller: as gRPC's conventions have it. */
const SERVER_ERRORS: ReadonlySet<string> = new Set<Code>([
  "unknown",
  "deadline_exceeded",
  "unimplemented",
  "internal",
  "unavailable",
  "data_loss",
]);

/** What every span and measurement of a method has. */
export function attributesOf(method: string): Attributes {
  return { "rpc.system.name": SYSTEM, "rpc.method": method };
}

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

/** An address as a pair of attributes, of which Unix sockets have only the first. */
export interface Place {
  /** A name or an IP address, or a path. */
  readonly host: string;
  /** Of what has one. */
  readonly port: number | undefined;
}

/** Adds a place to `attributes`, as `${prefix}.address` and `${prefix}.port`. */
export function addPlace(
  attributes: Attributes,
  prefix: "server" | "network.peer",
  { host, port }: Place,
): void {
  attributes[`${prefix}.address`] = host;
  if (port !== undefined) attributes[`${prefix}.port`] = port;
}

/** How many addresses are remembered. */
const MOST_PLACES = 256;

/** Addresses such as `tcp@127.0.0.1:50312` taken apart, once each. */
export class Places {
  readonly #known = new Map<string, Place>();

  /** The place that an address names. */
  of(address: string): Place {
    let place = this.#known.get(address);
    if (place !== undefined) return place;
    const [, host, port] = /^[a-z]+@(.*?)(?::(\d+)(?:\/.*)?)?$/.exec(address) ?? [];
    place = {
      host: host?.replace(/^\[(.*)\]$/, "$1") ?? address,
      port: port === undefined ? undefined : Number(port),
    };
    if (this.#known.size >= MOST_PLACES) this.#known.clear();
    this.#known.set(address, place);
    return place;
  }
}

/** The histogram of one side's durations. */
export function durations(meter: Meter, side: "client" | "server"): Histogram {
  return meter.createHistogram(`rpc.${side}.call.duration`, {
    description: `How long ${side === "client" ? "outgoing" : "incoming"} calls take`,
    unit: "s",
    advice: { explicitBucketBoundaries: BOUNDARIES },
  });
}
