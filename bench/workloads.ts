// What is measured: the six workloads, and the form in which a client process is told its load.

/** What a client process does, and what its server has to offer for it; travels as JSON. */
export interface Load {
  /** `sum`: small calls. `echo`: byte strings there and back. `stream`: items from the server. `idle`: nothing. */
  readonly kind: "sum" | "echo" | "stream" | "idle";
  /** Connections, each with a client of its own. */
  readonly connections: number;
  /** Calls in flight on each connection, all the time. */
  readonly outstanding: number;
  /** Bytes of an echo or of an item. */
  readonly bytes: number;
  /** Items of one stream. */
  readonly items: number;
  /** Connections that stay open beside those and do nothing. */
  readonly idle: number;
  /** Methods that the server has; the calls go to all of them in turn. */
  readonly methods: number;
  /** How many numbers the server adds up in each call, the slow way, for it to have something to do. */
  readonly work: number;
  /** The port that servers share; 0 = one takes any, and does not share it. */
  readonly sharedPort: number;
  /** What this library's server and client are given as options: none, except where scale is measured. */
  readonly limits: Readonly<Record<string, number>>;
  /** How long the load runs before it is measured, in s. */
  readonly warm: number;
  /** How long it is measured, in s. */
  readonly seconds: number;
}

/** One of the six. */
export interface Workload {
  readonly name: string;
  readonly title: string;
  /** What one figure counts. */
  readonly unit: string;
  /** What `calls` of the load are multiplied by to get the unit. */
  readonly factor: number;
  /** Whether server and client get a core each; else both are on one, and what is measured is the cost of a call. */
  readonly apart: boolean;
  /** Whether a smaller figure is the better one. */
  readonly lowerIsBetter: boolean;
  /** The peers that are the measure of all others here, by name. */
  readonly limits: readonly string[];
  readonly load: Pick<Load, "kind"> & Partial<Load>;
}

const ECHO_BYTES = 65_536;
const MIB = 1_048_576;

/** Fills in what a load leaves open. */
export function loadOf(load: Pick<Load, "kind"> & Partial<Load>): Load {
  return {
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

/** The workloads by name. */
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
];
