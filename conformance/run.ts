// Runs cases against one implementation and collects what came of each. Called by main.ts and by tests.

import { casesOf } from "./cases.ts";
import type { Json } from "./cbor.ts";
import { type Bench, play } from "./play.ts";
import type { Conversation, Role, Settlement } from "./script.ts";
import { Failure, Wire } from "./wire.ts";

/** What came of a case. */
export interface Outcome {
  readonly id: string;
  readonly role: Role;
  /** The heading of docs/PROTOCOL.md that the case is about. */
  readonly section: string;
  readonly about: string;
  readonly outcome: "passed" | "failed" | "skipped";
  /** Why it was skipped, or what was wrong. */
  readonly reason?: string;
  /** What was sent and came, for one that failed. */
  readonly trace?: readonly string[];
}

/** What to run and how. */
export interface RunOptions {
  /** Only cases whose id contains this, or matches it. */
  readonly filter?: string | RegExp;
  /** What the implementation has; left out = what it says itself. */
  readonly features?: Iterable<string>;
  /** How long anything is waited for, in ms. */
  readonly patience?: number;
  /** Told of each case as it ends. */
  readonly onOutcome?: (outcome: Outcome) => void;
}

/** The client under test, as the runner sees it. */
export interface ClientControl extends AsyncDisposable {
  /** What it says it has. */
  readonly features: ReadonlySet<string>;
  /** Tells it to do something, and returns what comes of it. */
  tell(command: Readonly<Record<string, Json>>): Promise<Record<string, Json>>;
}

/** How long anything is waited for that the caller does not say, in ms. */
export const PATIENCE = 5_000;
/** More calls than this are not made to find out what happens beyond maxInFlight. */
const MOST_IN_FLIGHT = 20_000;
/** Who pings after a longer silence is not waited for, in ms. */
const LONGEST_SILENCE = 1_000;

/** Whether a case is one that was asked for. */
export function isAskedFor(id: string, filter: string | RegExp | undefined): boolean {
  return filter === undefined || (typeof filter === "string" ? id.includes(filter) : filter.test(id));
}

/** Runs the cases for servers against the one at `hostname` and `port`. */
export async function checkServer(
  hostname: string,
  port: number,
  options: RunOptions = {},
): Promise<Outcome[]> {
  const { patience = PATIENCE } = options;
  const open = async () => {
    const socket = await Deno.connect({ hostname, port });
    socket.setNoDelay(true);
    return { wire: new Wire(socket, patience) };
  };
  const features = options.features === undefined ? await featuresOf(open) : new Set(options.features);
  return await runAll("server", features, options, { role: "server", open });
}

/** Runs the cases for clients against one that does what it is told. Each case listens on a port of its own. */
export async function checkClient(client: ClientControl, options: RunOptions = {}): Promise<Outcome[]> {
  const { patience = PATIENCE } = options;
  const hostname = "127.0.0.1";
  const tell = async (command: Readonly<Record<string, Json>>) => {
    return await soon(
      client.tell({ id: command.do!, ...command }),
      patience,
      `what comes of ${JSON.stringify(command)}`,
    ) as Settlement;
  };
  const open = async (option: Readonly<Record<string, Json>>) => {
    using listener = Deno.listen({ hostname, port: 0 });
    const connected = tell({ do: "connect", host: hostname, port: listener.addr.port, ...option });
    const socket = await soon(listener.accept(), patience, "a connection of the client");
    socket.setNoDelay(true);
    return { wire: new Wire(socket, patience), connected };
  };
  return await runAll("client", client.features, options, { role: "client", open, tell });
}

async function runAll(
  role: Role,
  features: ReadonlySet<string>,
  { filter, onOutcome }: RunOptions,
  bench: Bench,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const conversation of casesOf(role)) {
    if (!isAskedFor(conversation.id, filter)) continue;
    const { id, section, about, needs = [] } = conversation;
    const missing = needs.filter((need) => !features.has(need));
    const outcome: Outcome = missing.length > 0
      ? { id, role, section, about, outcome: "skipped", reason: `it has no ${missing.join(", ")}` }
      : { id, role, section, about, ...await outcomeOf(conversation, bench) };
    outcomes.push(outcome);
    onOutcome?.(outcome);
  }
  return outcomes;
}

async function outcomeOf(
  conversation: Conversation,
  bench: Bench,
): Promise<Pick<Outcome, "outcome" | "reason" | "trace">> {
  const trace: string[] = [];
  try {
    await play(conversation, bench, trace);
    return { outcome: "passed" };
  } catch (error) {
    const reason = error instanceof Failure ? error.message : `the runner failed: ${(error as Error).stack}`;
    return { outcome: "failed", reason, trace };
  }
}

/**
 * Asks a server what it has; a part of that can be seen from its answer alone.
 *
 * @throws {Failure} If it does not say: then nothing else could be asked
 */
async function featuresOf(open: Bench["open"]): Promise<ReadonlySet<string>> {
  const features = new Set<string>();
  const trace: string[] = [];
  const asked = play(
    {
      id: "features",
      section: "",
      about: "",
      steps: [
        { send: { header: [1, 1, "Conformance.features", 0], value: null } },
        { expect: { header: [2, 1], value: "$features" } },
      ],
    },
    { role: "server", open },
    trace,
    ({ variables, maxInFlight, heartbeatInterval }) => {
      const said = variables.get("$features");
      for (const feature of Array.isArray(said) ? said : []) features.add(String(feature));
      if (maxInFlight <= MOST_IN_FLIGHT) features.add("in-flight");
      if (heartbeatInterval > 0 && heartbeatInterval <= LONGEST_SILENCE) features.add("heartbeat");
    },
  );
  try {
    await asked;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Failure(
      `Cannot test server: expected an answer to Conformance.features, got ${error.message}\n${
        trace.join("\n")
      }`,
    );
  }
  return features;
}

async function soon<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Failure(`waited ${ms} ms in vain for ${what}`)), ms);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
