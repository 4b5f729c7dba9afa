// The workloads, and the load description passed to client processes.

/**
 * Loads for a long line, in distance_load.ts. `down`, `up`: an endless stream of items. `echoes`, `bulk`: small
 * calls at intervals while large echoes, or a stream, use the same connection. `first`: the first call of a
 * connection.
 */
export type DistanceKind = "down" | "up" | "echoes" | "bulk" | "first";

/**
 * What most programs add to a small call: a handler that is an async function; an interceptor, on each side that
 * has them; a token, sent with each call and checked by the server; arguments that the server checks with a zod
 * schema.
 */
export type Variant = "async" | "interceptor" | "token" | "contract";

/** The load of a client process, and what its server must offer; passed as JSON. */
export interface Load {
  /**
   * `sum`: small calls. `echo`, `text`: byte strings or texts sent back. `records`: a list from the server. `stream`:
   * items from the server. `idle`: nothing. The others are those of bench:distance.
   */
  readonly kind: "sum" | "echo" | "text" | "records" | "stream" | "idle" | DistanceKind;
  /** What small calls have in addition. */
  readonly variant?: Variant;
  /** Where the server listens. */
  readonly host: string;
  /** Number of connections, each with its own client. */
  readonly connections: number;
  /** Calls kept in flight on each connection. */
  readonly outstanding: number;
  /** Size of an echo, a text or an item, in bytes. */
  readonly bytes: number;
  /** Number of items in a stream, or of records. */
  readonly items: number;
  /** Number of additional idle connections. */
  readonly idle: number;
  /** Number of methods of the server; calls use all of them in turn. */
  readonly methods: number;
  /** How many numbers the server adds up in each call, as simulated work. */
  readonly work: number;
  /** The port that several servers share; 0 = a free port, not shared. */
  readonly sharedPort: number;
  /** Options of this library's server and client; empty except in bench:scale. */
  readonly limits: Readonly<Record<string, number>>;
  /** Duration of the warm-up, in s. */
  readonly warm: number;
  /** Duration of the measurement, in s. */
  readonly seconds: number;
}

/** One of the workloads. */
export interface Workload {
  readonly name: string;
  readonly title: string;
  /** Unit of the figures. */
  readonly unit: string;
  /** Factor from calls of the load to the unit. */
  readonly factor: number;
  /**
   * Whether server and client have a core each; otherwise they share one, and the cost of a call is measured.
   */
  readonly apart: boolean;
  /** Whether a smaller figure is better. */
  readonly lowerIsBetter: boolean;
  /** Names of the contestants that are the reference here. */
  readonly limits: readonly string[];
  readonly load: Pick<Load, "kind"> & Partial<Load>;
}

const ECHO_BYTES = 65_536;
const MIB = 1_048_576;

/** Completes a load with defaults. */
export function loadOf(load: Pick<Load, "kind"> & Partial<Load>): Load {
  return {
    host: "127.0.0.1",
    connections: 1,
    outstanding: 1,
    bytes: 0,
    items: 0,
    idle: 0,
    methods: 1,
    work: 0,
    sharedPort: 0,
    limits: {},
    warm: 1,
    seconds: 1,
    ...load,
  };
}

const CALLS = { unit: "calls/s", factor: 1, apart: false, lowerIsBetter: false } as const;
const BOTH_LIMITS = ["socket", "socket-promise"] as const;

/** W2 with something that most programs add. */
function variantOf(name: string, variant: Variant, title: string): Workload {
  const load = { kind: "sum", outstanding: 128, variant } as const;
  return { ...CALLS, name, title: `128 calls in flight, with ${title}`, limits: [], load };
}

/** The workloads, by name. */
export const WORKLOADS: readonly Workload[] = [
  {
    ...CALLS,
    name: "W1",
    title: "One call in flight",
    limits: BOTH_LIMITS,
    load: { kind: "sum" },
  },
  {
    ...CALLS,
    name: "W2",
    title: "128 calls in flight over one connection",
    limits: BOTH_LIMITS,
    load: { kind: "sum", outstanding: 128 },
  },
  {
    ...CALLS,
    name: "W3",
    title: "64 connections, 4 calls in flight on each",
    limits: BOTH_LIMITS,
    load: { kind: "sum", connections: 64, outstanding: 4 },
  },
  {
    name: "W4",
    title: "64 KiB there and back, 8 calls in flight",
    unit: "MiB/s",
    factor: ECHO_BYTES / MIB,
    apart: true,
    lowerIsBetter: false,
    limits: BOTH_LIMITS,
    load: { kind: "echo", outstanding: 8, bytes: ECHO_BYTES },
  },
  {
    name: "W5",
    title: "A stream of 100-byte items from the server",
    unit: "items/s",
    factor: 1,
    apart: true,
    lowerIsBetter: false,
    limits: ["socket"],
    load: { kind: "stream", bytes: 100, items: 100_000 },
  },
  {
    name: "W6",
    title: "Memory of the server for each idle connection",
    unit: "KiB",
    factor: 1,
    apart: true,
    lowerIsBetter: true,
    limits: ["socket"],
    load: { kind: "idle", connections: 1_000 },
  },
  {
    ...CALLS,
    name: "W7",
    title: "1000 records from the server, 4 calls in flight",
    limits: [],
    load: { kind: "records", outstanding: 4, items: 1_000 },
  },
  {
    name: "W8",
    title: "64 KiB of text there and back, 8 calls in flight",
    unit: "MiB/s",
    factor: ECHO_BYTES / MIB,
    apart: true,
    lowerIsBetter: false,
    limits: [],
    load: { kind: "text", outstanding: 8, bytes: ECHO_BYTES },
  },
  variantOf("W9", "async", "an async function as the handler"),
  variantOf("W10", "interceptor", "an interceptor on each side"),
  variantOf("W11", "token", "a token"),
  variantOf("W12", "contract", "arguments checked with zod"),
];
