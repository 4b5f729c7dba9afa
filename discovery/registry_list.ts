// Parses a registry's JSON: lists of servers, and changes to a list. Used by RegistryDiscovery.

import { toEndpoint } from "./check_endpoint.ts";
import type { Endpoint } from "./endpoint.ts";
import { jsonPieces } from "./json_pieces.ts";
import { TimeSlice } from "./time_slice.ts";

/** A registry's list of servers. */
export interface ServerList {
  /** Undefined if the registry has no revisions. */
  revision: number | undefined;
  /** Ordered by address, so that the same list in another order is not a change. */
  endpoints: readonly Endpoint[];
  /** Addresses of servers that are paused or draining, or were removed recently. */
  withdrawn: readonly string[];
}

/** A change to the list. */
export interface ServerChange {
  revision: number;
  set: readonly Endpoint[];
  removed: readonly string[];
  /** Addresses of servers that were paused, drained or removed; the leases of other removed servers have expired. */
  withdrawn: readonly string[];
}

/** Maximum number of values in an answer in addition to its servers. */
const MAX_FIELDS = 64;
/** Maximum number of servers in a list or a change. A registry holds at most 10 000 by default. */
export const MAX_SERVERS = 16_384;

/**
 * Parses `{ "revision": …, "servers": [{ "address": … }, …], "withdrawn": ["…", …] }`.
 *
 * @param text The body of the answer
 * @param slice Decides when other tasks may run
 * @returns The list, without invalid entries and servers that take no calls; `undefined` if the text is not a list
 * @throws {RangeError} If it has too many servers, or an entry is too long
 */
export async function parseServerList(
  text: string,
  slice: SomeTimeSlice = new TimeSlice(),
): Promise<ServerList | undefined> {
  const object = await readObject(text, "servers", slice);
  if (object?.servers === undefined) return undefined;
  const { servers, withdrawn = [], fields: { revision } } = object;
  return {
    revision: isRevision(revision) ? revision : undefined,
    endpoints: servers,
    withdrawn,
  };
}

/**
 * Parses `{ "revision": …, "set": [{ "address": … }, …], "removed": ["…", …], "withdrawn": ["…", …] }`.
 *
 * @param text The data of the event
 * @param slice Decides when other tasks may run
 * @returns The change; `undefined` if the text is not a change
 * @throws {RangeError} If it has too many servers, or an entry is too long
 */
export async function parseChange(text: string, slice: SomeTimeSlice): Promise<ServerChange | undefined> {
  const object = await readObject(text, "set", slice);
  if (object?.servers === undefined || object.removed === undefined) return undefined;
  const { servers, removed, withdrawn = [], fields: { revision } } = object;
  return isRevision(revision) ? { revision, set: servers, removed, withdrawn } : undefined;
}

type SomeTimeSlice = Pick<TimeSlice, "expired" | "yieldIfDue">;

interface ReadObject {
  /** Ordered by address; `undefined` if there is no such array. */
  servers: readonly Endpoint[] | undefined;
  removed: readonly string[] | undefined;
  withdrawn: readonly string[] | undefined;
  /** The fields that are not arrays. */
  fields: Readonly<Record<string, unknown>>;
}

/** Parses an object with arrays, in pieces. Returns undefined if the text is not an object. */
async function readObject(
  text: string,
  servers: string,
  slice: SomeTimeSlice,
): Promise<ReadObject | undefined> {
  let byAddress: Map<string, Endpoint> | undefined;
  let removed: string[] | undefined;
  let withdrawn: string[] | undefined;
  const fields = new Map<string, unknown>();
  let count = 0;
  try {
    for (const { field, text: json, isElement } of jsonPieces(text)) {
      if (slice.expired) await slice.yieldIfDue();
      if (++count > MAX_SERVERS + MAX_FIELDS) {
        throw new RangeError(`the list has more than ${MAX_SERVERS} servers`);
      }
      const value: unknown = JSON.parse(json);
      if (!isElement) {
        if (field === servers) byAddress = Array.isArray(value) ? new Map() : undefined;
        else if (field === "removed") removed = Array.isArray(value) ? [] : undefined;
        else if (field === "withdrawn") withdrawn = Array.isArray(value) ? [] : undefined;
        else fields.set(field, value);
      } else if (field === servers) {
        const endpoint = parseEntry(value);
        if (endpoint !== undefined) byAddress?.set(endpoint.address, endpoint);
      } else if (typeof value === "string") {
        if (field === "removed") removed?.push(value);
        else if (field === "withdrawn") withdrawn?.push(value);
      }
    }
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  return {
    servers: byAddress &&
      Object.freeze([...byAddress.values()].sort((a, b) => a.address < b.address ? -1 : 1)),
    removed,
    withdrawn,
    fields: Object.fromEntries(fields),
  };
}

function isRevision(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function parseEntry(entry: unknown): Endpoint | undefined {
  try {
    // The user's URL may contain `?all`, which lists servers in any state.
    const { state = "active" } = (entry ?? {}) as Record<string, unknown>;
    return state === "active" ? toEndpoint(entry) : undefined;
  } catch {
    return undefined;
  }
}
