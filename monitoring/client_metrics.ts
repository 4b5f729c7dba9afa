// Prometheus metrics of the clients that a server shows. Recognizes them by the shape of their stats, since server code
// does not import client code.

import { family, labelled, labels, type Sample } from "./metrics_text.ts";

/** The part of a client's `stats()` that is read here. */
interface ClientStats {
  readonly endpoints: readonly {
    readonly state: string;
    readonly connections: number;
    readonly health?: string;
  }[];
  readonly pending: number;
  readonly retries: number;
  readonly refusedRetries: number;
  readonly limits: Readonly<Record<string, number>>;
}

/** The part of it that becomes metrics. */
export interface ClientFigures
  extends Pick<ClientStats, "pending" | "retries" | "refusedRetries" | "limits"> {
  /** The number of servers in each state. */
  readonly states: Readonly<Record<string, number>>;
  /** The number of open connections. */
  readonly connections: number;
  /** The number of ejected servers. */
  readonly ejected: number;
}

/** The states of a channel. Each has a sample, so that a state without servers is 0 and not missing. */
const STATES = { idle: 0, connecting: 0, ready: 0, failing: 0, closed: 0 };

/** The figures of a client; undefined if the stats are not those of a client. */
export function clientFigures(stats: unknown): ClientFigures | undefined {
  if (!isClient(stats)) return undefined;
  const { endpoints, pending, retries, refusedRetries, limits } = stats;
  const ejected = endpoints.filter(({ health }) => typeof health === "string").length;
  const connections = endpoints.reduce((sum, each) => sum + each.connections, 0);
  return {
    states: byState(endpoints),
    connections,
    ejected,
    pending,
    retries,
    refusedRetries,
    limits: { ...limits },
  };
}

/**
 * Returns the metrics text; empty if there are no clients.
 *
 * @param shown The figures of each source, by name
 */
export function clientMetricsText(
  shown: readonly (readonly [name: string, figures: ClientFigures | undefined])[],
): string {
  const clients = shown.filter((each): each is [string, ClientFigures] => each[1] !== undefined);
  if (clients.length === 0) return "";
  const each = (value: (figures: ClientFigures) => number): Sample[] =>
    clients.map(([client, figures]) => [labels({ client }), value(figures)]);
  return [
    family(
      "rpc_client_endpoints",
      "gauge",
      "Servers on the list of a client, by how the connection to them stands",
      clients.flatMap(([client, { states }]) => labelled("state", states, { client })),
    ),
    family(
      "rpc_client_endpoints_ejected",
      "gauge",
      "Of these, servers that are ejected because they kept failing",
      each(({ ejected }) => ejected),
    ),
    family(
      "rpc_client_connections",
      "gauge",
      "Open connections that take new calls",
      each(({ connections }) => connections),
    ),
    family("rpc_client_calls_pending", "gauge", "Calls that are not settled", each(({ pending }) => pending)),
    family(
      "rpc_client_retries_total",
      "counter",
      "Calls that were sent again",
      each(({ retries }) => retries),
    ),
    family(
      "rpc_client_retries_refused_total",
      "counter",
      "Calls that were not sent again, because the retry budget was used up",
      each(({ refusedRetries }) => refusedRetries),
    ),
    family(
      "rpc_client_limits_met_total",
      "counter",
      "Times when a limit of a client was met",
      clients.flatMap(([client, { limits }]) => labelled("limit", limits, { client })),
    ),
  ].join("");
}

function byState(endpoints: ClientStats["endpoints"]): Record<string, number> {
  const counts = new Map(Object.entries(STATES));
  for (const { state } of endpoints) if (counts.has(state)) counts.set(state, counts.get(state)! + 1);
  return Object.fromEntries(counts);
}

function isClient(stats: unknown): stats is ClientStats {
  if (typeof stats !== "object" || stats === null) return false;
  const { endpoints, pending, retries, refusedRetries, limits } = stats as Partial<ClientStats>;
  return Array.isArray(endpoints) && endpoints.every(isEndpoint) &&
    [pending, retries, refusedRetries].every((figure) => typeof figure === "number") &&
    typeof limits === "object" && limits !== null &&
    Object.values(limits).every((figure) => typeof figure === "number");
}

function isEndpoint(value: unknown): boolean {
  const { state, connections } = (value ?? {}) as Partial<ClientStats["endpoints"][number]>;
  return typeof state === "string" && typeof connections === "number";
}
