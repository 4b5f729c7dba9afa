// Reads the JSON that a registry answers: its list, and changes of it. Used by RegistryDiscovery.

import { toEndpoint } from "./check_endpoint.ts";
import type { Endpoint } from "./endpoint.ts";
import { jsonPieces } from "./json_pieces.ts";
import { TimeSlice } from "./time_slice.ts";

/** What a registry lists. */
export interface ServerList {
  /** Left out by registries that count none. */
  revision: number | undefined;
  /** In the order of their addresses, so that a list in another order is not another list. */
  endpoints: readonly Endpoint[];
  /** The addresses of servers that are paused or draining, or were taken off lately. */
  withdrawn: readonly string[];
}

/** What has changed. */
export interface ServerChange {
  revision: number;
  set: readonly Endpoint[];
  removed: readonly string[];
  /** Those that were paused, drained or taken off: the leases of the others have run out. */
  withdrawn: readonly string[];
}

/** How many values an answer may have besides its servers. */
const MAX_FIELDS = 64;
/** The most servers that a list or a change may have. A registry has room for 10 000 unless it is configured otherwise. */
export const MAX_SERVERS = 16_384;

/**
 * Reads `{ "revision": …, "servers": [{ "address": … }, …], "withdrawn": ["…", …] }`.
 *
 * @param text The body of the answer
 * @param slice When others have their turn
 * @returns The list, without entries that are no endpoints and those that take no calls; `undefined` if the text is no
 * such list at all
 * @throws {RangeError} If it has too many servers, or one of them is too long
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
 * Reads `{ "revision": …, "set": [{ "address": … }, …], "removed": ["…", …], "withdrawn": ["…", …] }`.
 *
 * @param text The data of the event
 * @param slice When others have their turn
 * @returns The change; `undefined` if the text is none
 * @throws {RangeError} If it has too many servers, or one of them is too long
 */
export async function parseChange(text: string, slice: SomeTimeSlice): Promise<ServerChange | undefined> {
  const object = await readObject(text, "set", slice);
  if (object?.servers === undefined || object.removed === undefined) return undefined;
  const { servers, removed, withdrawn = [], fields: { revision } } = object;
  return isRevision(revision) ? { revision, set: servers, removed, withdrawn } : undefined;
}

type SomeTimeSlice = Pick<TimeSlice, "expired" | "yieldIfDue">;

interface ReadObject {
  /** In the order of their addresses; `undefined` if there is no such array. */
  servers: readonly Endpoint[] | undefined;
  removed: readonly string[] | undefined;
  withdrawn: readonly string[] | undefined;
  /** The fields that are no arrays. */
  fields: Readonly<Record<string, unknown>>;
}

/** Reads an object with arrays, in pieces. Returns undefined if the text is not an object. */
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
    // A URL with `?all` is one that somebody might give.
    const { state = "active" } = (entry ?? {}) as Record<string, unknown>;
    return state === "active" ? toEndpoint(entry) : undefined;
  } catch {
    return undefined;
  }
}
