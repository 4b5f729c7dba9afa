// The handlers of `rpc.Reflection`, which describe a server: its services, their schemas, its stats. Made by the Server
// and registered in its table like any other service; limits bound the work that callers can cause.

import { isUnchecked } from "../call/contract.ts";
import type { ContractHandlers } from "../call/contract_methods.ts";
import { RpcError } from "../call/error.ts";
import {
  type MethodDescription,
  type Reflection,
  type ReportedStats,
  RESERVED,
  type SchemaDescription,
  type ServiceDescription,
} from "../call/reflection.ts";
import type { Service, ServiceTable } from "../call/service.ts";
import type { StandardSchema } from "../call/standard_schema.ts";
import { sleep, SYSTEM_CLOCK } from "../discovery/clock.ts";
import { SessionPeer } from "../session/session_peer.ts";

/** Concurrent streams of stats, of all connections and of one connection, so that one cannot use them all. */
const MOST_STREAMS = 64;
const MOST_STREAMS_EACH = 4;
const SHORTEST_INTERVAL = 100;
const LONGEST_INTERVAL = 3_600_000;
/** Schemas that are longer as JSON, or deeper, are left out. */
const LONGEST_SCHEMA = 65_536;
const DEEPEST_SCHEMA = 48;

/**
 * The handlers of `rpc.Reflection`.
 *
 * @param table The services to describe
 * @param stats The server's stats, which may be cached for a moment
 * @param stopping Ends the streams of stats: a server that shuts down does not wait for them
 */
export function reflection(
  table: ServiceTable,
  stats: () => ReportedStats,
  stopping: AbortSignal,
): ContractHandlers<typeof Reflection> {
  const schemas: Descriptions = { input: new Map(), output: new Map() };
  const streams = new Streams(stopping);
  return {
    list() {
      const services = Map.groupBy(table.services.values(), ({ name }) => name.startsWith(RESERVED));
      const ordered = [...services.get(false) ?? [], ...services.get(true) ?? []];
      return ordered.map((service) => descriptionOf(service, service.methods));
    },

    describe(request) {
      const name = nameIn(request);
      const whole = table.services.get(name);
      const service = whole ?? table.services.get(name.slice(0, Math.max(name.lastIndexOf("."), 0)));
      const methods = whole?.methods ??
        service?.methods.filter((method) => `${service.name}.${method}` === name);
      if (service === undefined || methods === undefined || methods.length === 0) {
        const shown = JSON.stringify(name.slice(0, 128));
        throw new RpcError("not_found", `There is no service and no method ${shown}`);
      }
      return descriptionOf(service, methods, schemas);
    },

    async *stats(request, { peer, signal }) {
      const interval = intervalIn(request);
      const stream = streams.open(SessionPeer.connectionOf(peer), signal);
      try {
        while (!stream.end.aborted) {
          yield stats();
          await sleep(SYSTEM_CLOCK, interval, stream.end);
        }
      } finally {
        stream.close();
      }
    },
  };
}

/** The open streams of stats. */
class Streams {
  /** The controllers that end the streams, by connection. */
  readonly #open = new Map<object, Set<AbortController>>();
  #count = 0;

  /** @param stopping Ends all streams */
  constructor(stopping: AbortSignal) {
    stopping.addEventListener("abort", () => {
      for (const ends of this.#open.values()) for (const end of ends) end.abort();
    }, { once: true });
  }

  /**
   * Opens a stream.
   *
   * @param canceled Ends the stream, too
   * @throws {RpcError} `resource_exhausted` if there are too many
   */
  open(connection: object, canceled: AbortSignal): { end: AbortSignal; close: () => void } {
    const ends = this.#open.get(connection) ?? new Set();
    if (ends.size >= MOST_STREAMS_EACH) {
      throw tooMany(`${MOST_STREAMS_EACH} streams of stats on one connection`);
    }
    if (this.#count >= MOST_STREAMS) throw tooMany(`${MOST_STREAMS} streams of stats at once`);
    const end = new AbortController();
    const abort = () => end.abort();
    if (canceled.aborted) abort();
    canceled.addEventListener("abort", abort);
    this.#open.set(connection, ends.add(end));
    this.#count++;
    const close = () => {
      canceled.removeEventListener("abort", abort);
      ends.delete(end);
      if (ends.size === 0) this.#open.delete(connection);
      this.#count--;
    };
    return { end: end.signal, close };
  }
}

function tooMany(what: string): RpcError {
  return new RpcError("resource_exhausted", `More than ${what}`);
}

/** Describes some methods of a service, with their schemas if `schemas` is given. */
function descriptionOf(
  { name, contract }: Service,
  methods: readonly string[],
  schemas?: Descriptions,
): ServiceDescription {
  return {
    name,
    methods: methods.map((key): MethodDescription => {
      const method = contract?.methods[key];
      const { kind = "unknown", idempotent = false, readOnly = false } = method ?? {};
      const args = schemas && schemaOf(method?.args, "input", schemas);
      const result = schemas && schemaOf(method?.result, "output", schemas);
      return {
        method: `${name}.${key}`,
        kind,
        idempotent,
        ...readOnly && { readOnly },
        ...args && { args },
        ...result && { result },
      };
    }),
  };
}

/** The side of a schema: what callers pass in, or what they get. */
type Side = "input" | "output";

/** The descriptions of schemas, each made once. By schema, since some libraries create `~standard` at each access. */
type Descriptions = Readonly<Record<Side, Map<StandardSchema, SchemaDescription>>>;

function schemaOf(
  schema: StandardSchema | undefined,
  side: Side,
  known: Descriptions,
): SchemaDescription | undefined {
  if (schema === undefined || isUnchecked(schema)) return undefined;
  // The same schema may check the arguments of one method and the results of another.
  let description = known[side].get(schema);
  if (description === undefined) {
    const standard: StandardJson = schema["~standard"];
    const jsonSchema = jsonSchemaOf(standard, side);
    description = { vendor: String(standard.vendor).slice(0, 64), ...jsonSchema && { jsonSchema } };
    known[side].set(schema, description);
  }
  return description;
}

/** The part of Standard JSON Schema (https://standardschema.dev/json-schema), version 1, that is used here. */
interface StandardJson {
  readonly vendor: string;
  readonly jsonSchema?: Readonly<
    Record<Side, (options: { target: string; libraryOptions?: Record<string, unknown> }) => object>
  >;
}

function jsonSchemaOf({ jsonSchema }: StandardJson, side: Side): object | undefined {
  const target = "draft-2020-12";
  // Libraries throw if JSON Schema cannot express a type; zod and valibot have an option to leave it out instead.
  for (const libraryOptions of [undefined, { unrepresentable: "any", errorMode: "ignore" }]) {
    try {
      const text = JSON.stringify(jsonSchema?.[side]({ target, libraryOptions }));
      if (text === undefined || text.length > LONGEST_SCHEMA) return undefined;
      const schema: object = JSON.parse(text);
      return depthOf(schema) > DEEPEST_SCHEMA ? undefined : schema;
    } catch {
      // Without a JSON Schema, the description has only the vendor's name.
    }
  }
  return undefined;
}

function depthOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Object.values(value).reduce<number>((most, each) => Math.max(most, depthOf(each)), 0);
}

/** The name in a request, which may be any value. */
function nameIn(request: unknown): string {
  const name = (request as { name?: unknown } | null | undefined)?.name;
  if (typeof name === "string") return name;
  throw new RpcError("invalid_argument", "Cannot describe: expected { name: text }");
}

function intervalIn(request: unknown): number {
  const { interval = 1_000 } = (request ?? {}) as { interval?: unknown };
  if (typeof interval === "number" && interval >= SHORTEST_INTERVAL && interval <= LONGEST_INTERVAL) {
    return interval;
  }
  throw new RpcError(
    "invalid_argument",
    `Cannot use interval: expected ${SHORTEST_INTERVAL} to ${LONGEST_INTERVAL} ms`,
  );
}
