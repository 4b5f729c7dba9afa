// Reads the JSON list that a registry answers. Used by RegistryDiscovery.

import { toEndpoint } from "./check_endpoint.ts";
import type { Endpoint } from "./endpoint.ts";

/**
 * Reads `{ "servers": [{ "address": … }, …] }`.
 *
 * @param text The body of the answer
 * @returns The endpoints in the order of their addresses, so that a list in another order is not another list;
 * entries that are no endpoints are left out. `undefined` if the text is no such list at all
 */
export function parseServerList(text: string): readonly Endpoint[] | undefined {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof answer !== "object" || answer === null || !("servers" in answer)) return undefined;
  if (!Array.isArray(answer.servers)) return undefined;
  const byAddress = new Map<string, Endpoint>();
  for (const entry of answer.servers) {
    const endpoint = parseEntry(entry);
    if (endpoint !== undefined) byAddress.set(endpoint.address, endpoint);
  }
  return Object.freeze([...byAddress.values()].sort((a, b) => a.address < b.address ? -1 : 1));
}

function parseEntry(entry: unknown): Endpoint | undefined {
  try {
    return toEndpoint(entry);
  } catch {
    return undefined;
  }
}
