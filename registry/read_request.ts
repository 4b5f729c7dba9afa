// What requests to the registry say, read and checked: servers, incarnations, revisions. Used by registry.ts.

import { type EndpointLimits, toEndpoint } from "../discovery/check_endpoint.ts";
import type { Clock } from "../discovery/clock.ts";
import type { Endpoint } from "../discovery/endpoint.ts";
import { invalid, quote, readJson } from "./json_response.ts";
import { HEADER_SAFE } from "./listing.ts";
import type { InstanceState } from "./store.ts";

const STATES: readonly unknown[] = ["active", "paused", "draining"] satisfies InstanceState[];
/** Names are shown in pages, this registry's own and others', which may be less careful. */
const MARKUP = /[<>]/;

/** Makes what a stranger says of itself an endpoint that the list can hold. */
export function checkInstance(value: Record<string, unknown>, limits: EndpointLimits): Endpoint {
  let instance: Endpoint;
  try {
    // An address alone would be an endpoint too, but not an object.
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

/** Which server a request is about, and perhaps which incarnation of it. */
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
      "Cannot tell which server: send the header X-Rpc-Server: ADDRESS, ?address=ADDRESS, or a JSON body",
    );
  }
  const incarnation = readIncarnation(body?.incarnation ?? request.headers.get("x-rpc-incarnation"));
  return { address, incarnation: incarnation === 0 ? undefined : incarnation };
}

/** What a server is to be, or `undefined` if the request does not say. */
export function readState(value: unknown): InstanceState | undefined {
  if (value === undefined || value === null) return undefined;
  if (STATES.includes(value)) return value as InstanceState;
  throw invalid(`Cannot make a server ${quote(String(value))}: expected active, paused or draining`);
}

/** Left out, 0 for a new one, or the number of one. */
export function readIncarnation(value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  const incarnation = typeof value === "string" && /^[0-9]{1,16}$/.test(value) ? Number(value) : value;
  if (typeof incarnation === "number" && Number.isSafeInteger(incarnation) && incarnation >= 0) {
    return incarnation;
  }
  throw invalid(
    "Cannot use the incarnation: expected the number that registering answered, or 0 for a new one",
  );
}

/** The revision from which to watch; null to begin with the list; undefined for who does not want to watch. */
export function readRevision(request: Request, url: URL): number | null | undefined {
  const watch = url.searchParams.get("watch");
  if (watch === null) return undefined;
  // A browser that resumes asks the same URL again, and says in the header how far it has come.
  const text = request.headers.get("last-event-id") || watch;
  if (text === "" || text === "0") return null;
  const revision = Number(text);
  if (/^[0-9]{1,16}$/.test(text) && Number.isSafeInteger(revision)) return revision;
  throw invalid(
    `Cannot watch from revision ${quote(text)}: expected the number of one, or none for the list`,
  );
}
