// Validates endpoints from outside: arguments, entries of a registry's answer, registrations. The result is within limits,
// copied and frozen. The same limits apply wherever endpoints are accepted.

import { misleads } from "../call/safe_text.ts";
import { type Endpoint, parseAddress } from "./endpoint.ts";

const MAX_ADDRESS_CHARS = 256;
const MAX_METADATA_ENTRIES = 32;
const MAX_WEIGHT = 1_000_000;

/** Limits of an endpoint's fields. */
export interface EndpointLimits {
  /** Maximum number of services. */
  readonly maxServices: number;
  /** Maximum length of a version or of a service's name, in characters (UTF-16 code units). */
  readonly maxNameLength: number;
  /** Maximum length of all metadata names and values together, in bytes. */
  readonly maxMetadataBytes: number;
}

/** The general limits. A registry may be stricter. */
export const ENDPOINT_LIMITS: EndpointLimits = Object.freeze({
  maxServices: 64,
  maxNameLength: 128,
  maxMetadataBytes: 4096,
});

/**
 * Validates an endpoint.
 *
 * @param value An address, or an object with the fields of an {@linkcode Endpoint}; other fields are ignored
 * @param limits The limits, if stricter than the general ones
 * @returns A frozen copy
 * @throws {TypeError} If the endpoint is invalid; the message names the field
 * @throws {RangeError} If a field exceeds its limit
 */
export function toEndpoint(value: unknown, limits: EndpointLimits = ENDPOINT_LIMITS): Endpoint {
  if (typeof value === "string") return Object.freeze({ address: checkAddress(value) });
  if (typeof value !== "object" || value === null) {
    throw new TypeError("Cannot use endpoint: expected an address or an object with an address");
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
 * Validates a list of endpoints. Duplicate addresses are merged: the address keeps its first position, and the fields of its
 * last entry count.
 *
 * @param values Addresses or endpoints
 * @returns A frozen list of frozen endpoints
 * @throws {TypeError} If an endpoint is invalid
 * @throws {RangeError} If an endpoint exceeds a limit
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
    throw new TypeError("Cannot use endpoint: its address must be a string");
  }
  if (address.length > MAX_ADDRESS_CHARS) {
    throw new RangeError(
      `Cannot use endpoint: its address is longer than ${MAX_ADDRESS_CHARS} characters`,
    );
  }
  parseAddress(address);
  return address;
}

function checkServices(services: unknown, limits: EndpointLimits): readonly string[] {
  if (!Array.isArray(services)) {
    throw new TypeError("Cannot use endpoint: its services must be an array of names");
  }
  if (services.length > limits.maxServices) {
    throw new RangeError(`Cannot use endpoint: it has more than ${limits.maxServices} services`);
  }
  const names = services.map((name) =>
    checkText("services must be non-empty names", "a service's name", name, limits)
  );
  return Object.freeze([...new Set(names)]);
}

function checkVersion(version: unknown, limits: EndpointLimits): string {
  return checkText("version must be non-empty text", "its version", version, limits);
}

function checkText(must: string, what: string, text: unknown, { maxNameLength }: EndpointLimits): string {
  if (typeof text !== "string" || text === "") {
    throw new TypeError(`Cannot use endpoint: its ${must}`);
  }
  if (text.length > maxNameLength) {
    throw new RangeError(`Cannot use endpoint: ${what} is longer than ${maxNameLength} characters`);
  }
  // Names appear in headers, logs and pages, so characters that could disguise them are rejected.
  if (misleads(text)) {
    throw new TypeError(`Cannot use endpoint: ${what} contains control or invisible characters`);
  }
  return text;
}

function checkWeight(weight: unknown): number {
  if (typeof weight !== "number") throw new TypeError("Cannot use endpoint: its weight must be a number");
  if (!(weight >= 0 && weight <= MAX_WEIGHT)) {
    throw new RangeError(`Cannot use endpoint: its weight must be from 0 to ${MAX_WEIGHT}`);
  }
  return weight;
}

function checkMetadata(metadata: unknown, limits: EndpointLimits): Readonly<Record<string, string>> {
  if (typeof metadata !== "object" || metadata === null || Array.isArray(metadata)) {
    throw new TypeError("Cannot use endpoint: its metadata must be an object");
  }
  const entries = Object.entries(metadata);
  if (entries.length > MAX_METADATA_ENTRIES) {
    throw new RangeError(
      `Cannot use endpoint: its metadata has more than ${MAX_METADATA_ENTRIES} entries`,
    );
  }
  const { maxMetadataBytes } = limits;
  let bytes = 0;
  const encoder = new TextEncoder();
  for (const [name, text] of entries) {
    if (typeof text !== "string") {
      throw new TypeError("Cannot use endpoint: the values of its metadata must be strings");
    }
    // Lengths first, so that a megabyte of metadata is rejected without encoding it.
    bytes += name.length + text.length > maxMetadataBytes
      ? maxMetadataBytes + 1
      : encoder.encode(name + text).length;
    if (bytes > maxMetadataBytes) {
      throw new RangeError(
        `Cannot use endpoint: its metadata is longer than ${maxMetadataBytes} bytes`,
      );
    }
  }
  // fromEntries defines own properties, so a name like __proto__ has no special meaning.
  return Object.freeze(Object.fromEntries(entries as [string, string][]));
}
