// Reads the JSON that a registry answers: its list, and changes of it. Used by RegistryDiscovery.

import { toEndpoint } from "./check_endpoint.ts";
import type { Endpoint } from "./endpoint.ts";

/** What a registry lists. */
export interface ServerList {
  /** Left out by registries that count none. */
  revision: number | undefined;
  /** In the order of their addresses, so that a list in another order is not another list. */
  endpoints: readonly Endpoint[];
}

/** What has changed. */
export interface ServerChange {
  revision: number;
  set: readonly Endpoint[];
  removed: readonly string[];
}

/**
 * Reads `{ "revision": …, "servers": [{ "address": … }, …] }`.
 *
 * @param text The body of the answer
 * @returns The list, without entries that are no endpoints and those that take no calls; `undefined` if the text is no
 * such list at all
 */
export function parseServerList(text: string): ServerList | undefined {
  const { revision, servers } = parseObject(text);
  if (!Array.isArray(servers)) return undefined;
  return { revision: isRevision(revision) ? revision : undefined, endpoints: readEndpoints(servers) };
}

/**
 * Reads `{ "revision": …, "set": [{ "address": … }, …], "removed": ["…", …] }`.
 *
 * @param text The data of the event
 * @returns The change; `undefined` if the text is none
 */
export function parseChange(text: string): ServerChange | undefined {
  const { revision, set, removed } = parseObject(text);
  if (!isRevision(revision) || !Array.isArray(set) || !Array.isArray(removed)) return undefined;
  return {
    revision,
    set: readEndpoints(set),
    removed: removed.filter((address) => typeof address === "string"),
  };
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
  } catch {
    return {};
  }
}

function isRevision(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function readEndpoints(entries: readonly unknown[]): readonly Endpoint[] {
  const byAddress = new Map<string, Endpoint>();
  for (const entry of entries) {
    const endpoint = parseEntry(entry);
    if (endpoint !== undefined) byAddress.set(endpoint.address, endpoint);
  }
  return Object.freeze([...byAddress.values()].sort((a, b) => a.address < b.address ? -1 : 1));
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
