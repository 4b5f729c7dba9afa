// Parses and validates what requests to the registry contain: servers, incarnations, states, revisions. Used
// by registry.ts.

import { type EndpointLimits, toEndpoint } from "../discovery/check_endpoint.ts";
import type { Clock } from "../discovery/clock.ts";
import type { Endpoint } from "../discovery/endpoint.ts";
import { invalid, quote, readJson } from "./json_response.ts";
import { HEADER_SAFE } from "./listing.ts";
import type { InstanceState } from "./store.ts";

const STATES: readonly unknown[] = ["active", "paused", "draining"] satisfies InstanceState[];
/** Names are shown in web pages, of this registry and of others that may escape less carefully. */
const MARKUP = /[<>]/;

/** Validates a server description from an untrusted client. */
export function checkInstance(value: Record<string, unknown>, limits: EndpointLimits): Endpoint {
  let instance: Endpoint;
  try {
    // `toEndpoint` also accepts a plain address, a request body must be an object.
    instance = toEndpoint({ ...value }, limits);
  } catch (error) {
    throw invalid((error as Error).message);
  }
  if (!HEADER_SAFE.test(instance.address)) {
    throw invalid("Cannot register: the address must be ASCII without spaces");
  }
  const { address, services = [], version = "", metadata = {} } = instance;
  const suspicious = [address, ...services, version, ...Object.keys(metadata)].find((name) =>
    MARKUP.test(name)
  );
  if (suspicious !== undefined) {
    throw invalid(`Cannot register ${quote(suspicious)}: no name may contain < or >`);
  }
  return instance;
}

/** Reads which server a request concerns, and optionally which incarnation. */
export async function readTarget(
  request: Request,
  url: URL,
  clock: Clock,
): Promise<{ address: string; incarnation: number | undefined }> {
  const named = request.headers.get("x-rpc-server") ?? url.searchParams.get("address");
  const body = named === null ? await readJson(request, clock) : undefined;
  const address = named ?? body?.address;
  if (typeof address !== "string") {
    throw invalid(
      "Cannot identify the server: expected the header X-Rpc-Server: ADDRESS, ?address=ADDRESS, or a JSON body",
    );
  }
  const incarnation = readIncarnation(body?.incarnation ?? request.headers.get("x-rpc-incarnation"));
  return { address, incarnation: incarnation === 0 ? undefined : incarnation };
}

/** Reads the requested state, or `undefined` if the request has none. */
export function readState(value: unknown): InstanceState | undefined {
  if (value === undefined || value === null) return undefined;
  if (STATES.includes(value)) return value as InstanceState;
  throw invalid(`Cannot set the state ${quote(String(value))}: expected active, paused or draining`);
}

/** Reads an incarnation: `undefined` if omitted, 0 for a new one, or its number. */
export function readIncarnation(value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  const incarnation = typeof value === "string" && /^[0-9]{1,16}$/.test(value) ? Number(value) : value;
  if (typeof incarnation === "number" && Number.isSafeInteger(incarnation) && incarnation >= 0) {
    return incarnation;
  }
  throw invalid(
    "Cannot use the incarnation: expected the number returned by the registration, or 0 for a new one",
  );
}

/**
 * Reads the revision to watch from: `null` to begin with the list, `undefined` if the request is not a watch.
 */
export function readRevision(request: Request, url: URL): number | null | undefined {
  const watch = url.searchParams.get("watch");
  if (watch === null) return undefined;
  // A browser that reconnects requests the same URL, with its last event in the header.
  const text = request.headers.get("last-event-id") || watch;
  if (text === "" || text === "0") return null;
  const revision = Number(text);
  if (/^[0-9]{1,16}$/.test(text) && Number.isSafeInteger(revision)) return revision;
  throw invalid(
    `Cannot watch from revision ${
      quote(text)
    }: expected a revision number, or nothing to begin with the list`,
  );
}
