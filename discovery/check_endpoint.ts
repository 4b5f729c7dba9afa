// Turns what someone claims to be an endpoint (an argument, an entry of a registry's answer, a registration)
// into one: checked, within bounds, copied and frozen. The same bounds hold wherever endpoints come in.

import { type Endpoint, parseAddress } from "./endpoint.ts";

const MAX_ADDRESS_CHARS = 256;
const MAX_SERVICES = 64;
const MAX_SERVICE_CHARS = 128;
const MAX_METADATA_ENTRIES = 32;
const MAX_METADATA_BYTES = 4096;
const MAX_WEIGHT = 1_000_000;

/** Names end up in headers, logs and pages: nothing in them may pretend to be something else. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

/**
 * Checks an endpoint.
 *
 * @param value An address, or an object with the fields of an {@linkcode Endpoint}; other fields are ignored
 * @returns A frozen copy
 * @throws {TypeError} If it is none; the message names the field
 * @throws {RangeError} If something in it is over its bound
 */
export function toEndpoint(value: unknown): Endpoint {
  if (typeof value === "string") return Object.freeze({ address: checkAddress(value) });
  if (typeof value !== "object" || value === null) {
    throw new TypeError("Cannot take an endpoint: expected an address or an object with an address");
  }
  const { address, services, weight, metadata } = value as Record<string, unknown>;
  return Object.freeze({
    address: checkAddress(address),
    ...(services === undefined ? {} : { services: checkServices(services) }),
    ...(weight === undefined ? {} : { weight: checkWeight(weight) }),
    ...(metadata === undefined ? {} : { metadata: checkMetadata(metadata) }),
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

function checkServices(services: unknown): readonly string[] {
  if (!Array.isArray(services)) {
    throw new TypeError("Cannot take an endpoint: its services must be an array of names");
  }
  if (services.length > MAX_SERVICES) {
    throw new RangeError(`Cannot take an endpoint: it has more than ${MAX_SERVICES} services`);
  }
  for (const name of services) {
    if (typeof name !== "string" || name === "") {
      throw new TypeError("Cannot take an endpoint: its services must be names that are not empty");
    }
    if (name.length > MAX_SERVICE_CHARS) {
      throw new RangeError(
        `Cannot take an endpoint: a service's name is longer than ${MAX_SERVICE_CHARS} characters`,
      );
    }
    if (UNPRINTABLE.test(name)) {
      throw new TypeError(
        "Cannot take an endpoint: a service's name contains control or invisible characters",
      );
    }
  }
  return Object.freeze([...new Set<string>(services)]);
}

function checkWeight(weight: unknown): number {
  if (typeof weight !== "number") throw new TypeError("Cannot take an endpoint: its weight must be a number");
  if (!(weight >= 0 && weight <= MAX_WEIGHT)) {
    throw new RangeError(`Cannot take an endpoint: its weight must be from 0 to ${MAX_WEIGHT}`);
  }
  return weight;
}

function checkMetadata(metadata: unknown): Readonly<Record<string, string>> {
  if (typeof metadata !== "object" || metadata === null || Array.isArray(metadata)) {
    throw new TypeError("Cannot take an endpoint: its metadata must be an object");
  }
  const entries = Object.entries(metadata);
  if (entries.length > MAX_METADATA_ENTRIES) {
    throw new RangeError(
      `Cannot take an endpoint: its metadata has more than ${MAX_METADATA_ENTRIES} entries`,
    );
  }
  let bytes = 0;
  const encoder = new TextEncoder();
  for (const [name, text] of entries) {
    if (typeof text !== "string") {
      throw new TypeError("Cannot take an endpoint: the values of its metadata must be strings");
    }
    // Lengths first: a megabyte of metadata is refused without encoding it.
    bytes += name.length + text.length > MAX_METADATA_BYTES
      ? MAX_METADATA_BYTES + 1
      : encoder.encode(name + text).length;
    if (bytes > MAX_METADATA_BYTES) {
      throw new RangeError(
        `Cannot take an endpoint: its metadata is longer than ${MAX_METADATA_BYTES} bytes`,
      );
    }
  }
  // fromEntries makes own properties, so that a name like __proto__ is a name like any other.
  return Object.freeze(Object.fromEntries(entries as [string, string][]));
}
