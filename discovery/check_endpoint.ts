// Turns what someone claims to be an endpoint (an argument, an entry of a registry's answer, a registration)
// into one: checked, within bounds, copied and frozen. The same bounds hold wherever endpoints come in.

import { misleads } from "../call/one_line.ts";
import { type Endpoint, parseAddress } from "./endpoint.ts";

const MAX_ADDRESS_CHARS = 256;
const MAX_METADATA_ENTRIES = 32;
const MAX_WEIGHT = 1_000_000;

/** What an endpoint may say of itself at most. */
export interface EndpointLimits {
  /** How many services one endpoint may have. */
  readonly maxServices: number;
  /** How many characters (UTF-16 code units) the name of a service or a version may have. */
  readonly maxNameLength: number;
  /** How many bytes the names and values of its metadata may have together. */
  readonly maxMetadataBytes: number;
}

/** What holds for everybody; a registry may be stricter. */
export const ENDPOINT_LIMITS: EndpointLimits = Object.freeze({
  maxServices: 64,
  maxNameLength: 128,
  maxMetadataBytes: 4096,
});

/**
 * Checks an endpoint.
 *
 * @param value An address, or an object with the fields of an {@linkcode Endpoint}; other fields are ignored
 * @param limits Stricter bounds than those that hold for everybody
 * @returns A frozen copy
 * @throws {TypeError} If it is none; the message names the field
 * @throws {RangeError} If something in it is over its bound
 */
export function toEndpoint(value: unknown, limits: EndpointLimits = ENDPOINT_LIMITS): Endpoint {
  if (typeof value === "string") return Object.freeze({ address: checkAddress(value) });
  if (typeof value !== "object" || value === null) {
    throw new TypeError("Cannot take an endpoint: expected an address or an object with an address");
  }
  const { address, services, weight, version, metadata } = value as Record<string, unknown>;
  return Object.freeze({
    address: checkAddress(address),
    ...(services === undefined ? {} : { services: checkServices(services, limits) }),
    ...(weight === undefined ? {} : { weight: checkWeight(weight) }),
    ...(version === undefined ? {} : { version: checkVersion(version, limits) }),
    ...(metadata === undefined ? {} : { metadata: checkMetadata(metadata, limits) }),
  });
}

/**
 * Checks a list of endpoints. An address that stands in it more than once is folded into one: it keeps its
 * first place, and what the last of them says counts.
 *
 * @param values Addresses or endpoints
 * @returns A frozen list of frozen endpoints
 * @throws {TypeError} If one of them is no endpoint
 * @throws {RangeError} If one of them is over a bound
 */
export function toEndpoints(values: Iterable<unknown>): readonly Endpoint[] {
  const byAddress = new Map<string, Endpoint>();
  for (const value of values) {
    const endpoint = toEndpoint(value);
    byAddress.set(endpoint.address, endpoint);
  }
  return Object.freeze([...byAddress.values()]);
}

function checkAddress(address: unknown): string {
  if (typeof address !== "string") {
    throw new TypeError("Cannot take an endpoint: its address must be a string");
  }
  if (address.length > MAX_ADDRESS_CHARS) {
    throw new RangeError(
      `Cannot take an endpoint: its address is longer than ${MAX_ADDRESS_CHARS} characters`,
    );
  }
  parseAddress(address);
  return address;
}

function checkServices(services: unknown, limits: EndpointLimits): readonly string[] {
  if (!Array.isArray(services)) {
    throw new TypeError("Cannot take an endpoint: its services must be an array of names");
  }
  if (services.length > limits.maxServices) {
    throw new RangeError(`Cannot take an endpoint: it has more than ${limits.maxServices} services`);
  }
  const names = services.map((name) =>
    checkText("services must be names that are not empty", "a service's name", name, limits)
  );
  return Object.freeze([...new Set(names)]);
}

function checkVersion(version: unknown, limits: EndpointLimits): string {
  return checkText("version must be a text that is not empty", "its version", version, limits);
}

function checkText(must: string, what: string, text: unknown, { maxNameLength }: EndpointLimits): string {
  if (typeof text !== "string" || text === "") {
    throw new TypeError(`Cannot take an endpoint: its ${must}`);
  }
  if (text.length > maxNameLength) {
    throw new RangeError(`Cannot take an endpoint: ${what} is longer than ${maxNameLength} characters`);
  }
  // Names end up in headers, logs and pages: nothing in them may pretend to be something else.
  if (misleads(text)) {
    throw new TypeError(`Cannot take an endpoint: ${what} contains control or invisible characters`);
  }
  return text;
}

function checkWeight(weight: unknown): number {
  if (typeof weight !== "number") throw new TypeError("Cannot take an endpoint: its weight must be a number");
  if (!(weight >= 0 && weight <= MAX_WEIGHT)) {
    throw new RangeError(`Cannot take an endpoint: its weight must be from 0 to ${MAX_WEIGHT}`);
  }
  return weight;
}

function checkMetadata(metadata: unknown, limits: EndpointLimits): Readonly<Record<string, string>> {
  if (typeof metadata !== "object" || metadata === null || Array.isArray(metadata)) {
    throw new TypeError("Cannot take an endpoint: its metadata must be an object");
  }
  const entries = Object.entries(metadata);
  if (entries.length > MAX_METADATA_ENTRIES) {
    throw new RangeError(
      `Cannot take an endpoint: its metadata has more than ${MAX_METADATA_ENTRIES} entries`,
    );
  }
  const { maxMetadataBytes } = limits;
  let bytes = 0;
  const encoder = new TextEncoder();
  for (const [name, text] of entries) {
    if (typeof text !== "string") {
      throw new TypeError("Cannot take an endpoint: the values of its metadata must be strings");
    }
    // Lengths first: a megabyte of metadata is refused without encoding it.
    bytes += name.length + text.length > maxMetadataBytes
      ? maxMetadataBytes + 1
      : encoder.encode(name + text).length;
    if (bytes > maxMetadataBytes) {
      throw new RangeError(
        `Cannot take an endpoint: its metadata is longer than ${maxMetadataBytes} bytes`,
      );
    }
  }
  // fromEntries makes own properties, so that a name like __proto__ is a name like any other.
  return Object.freeze(Object.fromEntries(entries as [string, string][]));
}
