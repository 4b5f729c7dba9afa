// Runs the cases against one implementation and collects the outcomes. Called by main.ts and by tests.

import { casesOf } from "./cases.ts";
import type { Json } from "./cbor.ts";
import { play, type Subject } from "./play.ts";
import type { Conversation, Role, Settlement } from "./script.ts";
import { Failure, Wire } from "./wire.ts";

/** The outcome of a case. */
export interface Outcome {
  readonly id: string;
  readonly role: Role;
  /** The heading of docs/PROTOCOL.md that the case tests. */
  readonly section: string;
  readonly about: string;
  readonly outcome: "passed" | "failed" | "skipped";
  /** Why it was skipped or failed. */
  readonly reason?: string;
  /** It passed as an implementation that does not know this tag of CBOR. */
  readonly unknownTag?: number;
  /** What was sent and received, for a failed case. */
  readonly trace?: readonly string[];
}

/** Selects the cases and how they run. */
export interface RunOptions {
  /** Run only cases whose id contains or matches this. */
  readonly filter?: string | RegExp;
  /** Features of the implementation. Omitted: those it reports itself. */
  readonly features?: Iterable<string>;
  /** Timeout of each wait, in ms. */
  readonly patience?: number;
  /** Called after each case. */
  readonly onOutcome?: (outcome: Outcome) => void;
}

/** The client under test, as the runner uses it. */
export interface ClientControl extends AsyncDisposable {
  /** The features it reports. */
  readonly features: ReadonlySet<string>;
  /** Why it cannot execute any more commands. */
  readonly ended?: string;
  /**
   * Executes a command and returns its outcome.
   *
   * @throws {Failure} If the client does not report one
   */
  execute(command: Readonly<Record<string, Json>>): Promise<Record<string, Json>>;
}

/** Default timeout of each wait, in ms. */
export const PATIENCE = 5_000;
/** The test of maxInFlight is skipped for a higher limit. */
const MAX_IN_FLIGHT = 20_000;
/** The test of heartbeats is skipped for a longer interval, in ms. */
const MAX_HEARTBEAT_INTERVAL = 1_000;

/** Whether a case is selected by the filter. */
export function isSelected(id: string, filter: string | RegExp | undefined): boolean {
  return filter === undefined || (typeof filter === "string" ? id.includes(filter) : filter.test(id));
}

/** Runs the server cases against the server at `hostname` and `port`. */
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

/** Runs the client cases against a client. Each case listens on its own port. */
export async function checkClient(client: ClientControl, options: RunOptions = {}): Promise<Outcome[]> {
  const { patience = PATIENCE } = options;
  const hostname = "127.0.0.1";
  const execute = async (command: Readonly<Record<string, Json>>) => {
    return await withTimeout(
      client.execute({ id: command.do!, ...command }),
      patience,
      `the outcome of ${JSON.stringify(command)}`,
    ) as Settlement;
  };
  const open = async (option: Readonly<Record<string, Json>>) => {
    using listener = Deno.listen({ hostname, port: 0 });
    const connected = execute({ do: "connect", host: hostname, port: listener.addr.port, ...option });
    const reported = connected.then((outcome) => {
      throw new Failure(`the client reported ${JSON.stringify(outcome)} without a connection`);
    });
    const socket = await withTimeout(
      Promise.race([listener.accept(), reported]),
      patience,
      "a connection from the client",
    );
    socket.setNoDelay(true);
    return { wire: new Wire(socket, patience), connected };
  };
  return await runAll("client", client.features, options, { role: "client", open, execute }, client);
}

async function runAll(
  role: Role,
  features: ReadonlySet<string>,
  { filter, onOutcome }: RunOptions,
  subject: Subject,
  client?: ClientControl,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const knownTags = new Map<number, boolean>();
  for (const conversation of casesOf(role)) {
    if (!isSelected(conversation.id, filter)) continue;
    const { id, section, about, needs = [] } = conversation;
    const missing = needs.filter((need) => !features.has(need));
    const reason = client?.ended ??
      (missing.length > 0 ? `not supported: ${missing.join(", ")}` : undefined);
    const outcome: Outcome = reason === undefined
      ? { id, role, section, about, ...await outcomeOf(conversation, subject, knownTags) }
      : { id, role, section, about, outcome: "skipped", reason };
    outcomes.push(outcome);
    onOutcome?.(outcome);
  }
  return outcomes;
}

/**
 * Plays a case. The first one about a tag decides whether the implementation knows it: if so it must reject every
 * wrong content, and otherwise none.
 */
async function outcomeOf(
  conversation: Conversation,
  subject: Subject,
  knownTags: Map<number, boolean>,
): Promise<Pick<Outcome, "outcome" | "reason" | "trace" | "unknownTag">> {
  const { tag } = conversation;
  if (tag === undefined) return await played(conversation, subject);
  const { number, unknown: steps } = tag;
  const known = knownTags.get(number) === false ? undefined : await played(conversation, subject);
  if (known !== undefined && (known.outcome === "passed" || knownTags.get(number))) {
    knownTags.set(number, true);
    return known;
  }
  const unknown = await played({ ...conversation, steps }, subject);
  if (known !== undefined && unknown.outcome !== "passed") return known;
  knownTags.set(number, false);
  return { ...unknown, unknownTag: number };
}

async function played(
  conversation: Conversation,
  subject: Subject,
): Promise<Pick<Outcome, "outcome" | "reason" | "trace">> {
  const trace: string[] = [];
  try {
    await play(conversation, subject, trace);
    return { outcome: "passed" };
  } catch (error) {
    const reason = error instanceof Failure ? error.message : `the runner failed: ${(error as Error).stack}`;
    return { outcome: "failed", reason, trace };
  }
}

/**
 * Queries the features of a server; some are derived from its handshake.
 *
 * @throws {Failure} If it does not report them: then no other case can run
 */
async function featuresOf(open: Subject["open"]): Promise<ReadonlySet<string>> {
  const features = new Set<string>();
  const trace: string[] = [];
  const query = play(
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
      const reported = variables.get("$features");
      for (const feature of Array.isArray(reported) ? reported : []) features.add(String(feature));
      if (maxInFlight <= MAX_IN_FLIGHT) features.add("in-flight");
      if (heartbeatInterval > 0 && heartbeatInterval <= MAX_HEARTBEAT_INTERVAL) features.add("heartbeat");
    },
  );
  try {
    await query;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Failure(
      `Cannot test server: expected a response to Conformance.features, got ${error.message}\n${
        trace.join("\n")
      }`,
    );
  }
  return features;
}

async function withTimeout<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  const timeout = Promise.withResolvers<never>();
  const timer = setTimeout(() => timeout.reject(new Failure(`${what} did not arrive within ${ms} ms`)), ms);
  try {
    return await Promise.race([promise, timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}
