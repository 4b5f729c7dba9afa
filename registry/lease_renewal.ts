// Keeps one server registered: initial registration, heartbeats, removal. Created by announce().

import { type Code, isCode, RpcError } from "../call/error.ts";
import { Backoff, jitter } from "../discovery/backoff.ts";
import { type Clock, MAX_DELAY, sleep } from "../discovery/clock.ts";
import type { Endpoint } from "../discovery/endpoint.ts";
import type { InstanceState } from "./store.ts";
import {
  askRegistry,
  type Fetch,
  type RegistryAnswer,
  type RegistryRequest,
  type RegistryToken,
  STATUS_CODES,
} from "../discovery/registry_request.ts";

const MAX_ANSWER_BYTES = 64 * 1024;
/** How long close() may take in total, and how much of that it waits for an in-flight heartbeat, in ms. */
const CLOSE_TIMEOUT = 1_000;
const CLOSE_HEARTBEAT_TIMEOUT = 500;
/** Heartbeat interval in ms if neither side sets one: a third of the registry's default lease. */
const DEFAULT_INTERVAL = 10_000 / 3;
const MAX_REASON = 200;

/** The checked options of announce(). */
export interface LeaseRenewalOptions {
  /** The processes of one registry: the next is used when one is unreachable. */
  urls: readonly URL[];
  token: RegistryToken | undefined;
  instance: Endpoint;
  ttl: number | undefined;
  interval: number | undefined;
  timeout: number;
  fetch: Fetch;
  clock: Clock;
  random: () => number;
  log: (message: string) => void;
  onDrain: () => void;
}

/** The registry's response to a heartbeat. */
interface Answer {
  ttl: number;
  incarnation: number | undefined;
  state: InstanceState;
  created: boolean;
}

/** A registration that is renewed until it is closed. */
export class LeaseRenewal {
  readonly #options: LeaseRenewalOptions;
  /**
   * Retries grow up to a third of the heartbeat interval: a registry that is back before the lease expires
   * gets a renewal in time.
   */
  readonly #backoff: Backoff;
  /** Ends the waits between heartbeats. */
  readonly #stopping = new AbortController();
  /** Aborts the in-flight heartbeat. */
  readonly #cutting = new AbortController();
  #interval: number;
  /** The lease granted by the registry, in ms. */
  #ttl = 0;
  /** Index of the URL in use. Starts at a random one, so that many servers spread. */
  #at: number;
  /** The incarnation of this registration, once the registry has assigned it. */
  #incarnation: number | undefined;
  /** The last state the registry reported; sent back if the registry has forgotten the server. */
  #state: InstanceState | undefined;
  #failure: RpcError | undefined;
  #running: Promise<void> = Promise.resolve();
  #closed: Promise<void> | undefined;

  constructor(options: LeaseRenewalOptions) {
    this.#options = options;
    this.#at = Math.min(Math.floor(options.random() * options.urls.length), options.urls.length - 1);
    this.#interval = options.interval ?? (options.ttl ? options.ttl / 3 : DEFAULT_INTERVAL);
    this.#backoff = new Backoff(options.random);
  }

  /** Why the last heartbeat failed; undefined if it succeeded. */
  get failure(): RpcError | undefined {
    return this.#failure;
  }

  /**
   * Registers, however long it takes, then starts the heartbeats.
   *
   * @throws {RpcError} If the registry rejects the server or is full: a retry would not help
   * @throws The signal's reason, if it aborts before the server is registered
   */
  async start(signal: AbortSignal | undefined): Promise<void> {
    const { clock, log } = this.#options;
    const aborted = signal ?? new AbortController().signal;
    for (let tries = 0;; tries++) {
      aborted.throwIfAborted();
      try {
        await this.#sendHeartbeat(aborted);
        break;
      } catch (error) {
        aborted.throwIfAborted();
        if (!(error instanceof RpcError) || error.code !== "unavailable") throw error;
        if (tries === 0) log(`announce: ${error.message}; retrying until it answers`);
        await sleep(clock, this.#backoff.next(this.#interval / 3), aborted);
      }
    }
    log(`announce: registered ${this.#options.instance.address} at ${this.#url.href}`);
    this.#backoff.reset();
    this.#running = this.#run();
  }

  /** Stops the heartbeats and removes the server from the list: best effort, within 1 s, never rejects. */
  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  async #close(): Promise<void> {
    const { clock, instance, log, random } = this.#options;
    const started = clock.now();
    this.#stopping.abort();
    // A heartbeat that arrived after the DELETE would register the server again, so wait for it, for a while.
    const cancelTimer = clock.setTimer(
      () => this.#cutting.abort(new Error("closed")),
      CLOSE_HEARTBEAT_TIMEOUT,
    );
    await this.#running;
    cancelTimer();
    const remaining = () => CLOSE_TIMEOUT - (clock.now() - started);
    const backoff = new Backoff(random);
    for (;;) {
      try {
        return await this.#remove(() => Math.max(1, remaining()));
      } catch (error) {
        const wait = backoff.next(CLOSE_TIMEOUT);
        if (wait >= remaining()) {
          const until = this.#ttl === 0 ? "it is removed" : "its lease expires";
          const { message } = error as RpcError;
          return log(`announce: ${message}; ${instance.address} stays on the list until ${until}`);
        }
        await sleep(clock, wait, new AbortController().signal);
      }
    }
  }

  /**
   * Removes the server from the list, unless a newer incarnation has replaced it. Throws if the outcome is
   * uncertain.
   */
  async #remove(timeout: () => number): Promise<void> {
    const answer = await this.#ask({ method: "DELETE", headers: this.#identity(), timeout });
    const { code } = readError(answer);
    const isOff = code === "not_found" || code === "aborted";
    if (!isOff && (answer.status >= 300 || rankOfAnswer(answer, this.#options.instance) !== DECIDED)) {
      throw refusal("remove", answer, this.#url);
    }
  }

  async #run(): Promise<void> {
    const { clock, instance, log, random } = this.#options;
    const signal = this.#stopping.signal;
    let wait = jitter(this.#interval, 0.1, random);
    let failing = false;
    while (true) {
      // Heartbeats are sequential: the wait for the next starts when this one has ended.
      await sleep(clock, wait, signal);
      if (signal.aborted) return;
      try {
        const created = await this.#sendHeartbeat(this.#cutting.signal);
        if (created) {
          log(`announce: registered ${instance.address} again: the registry had no entry for it`);
        } else if (failing) log(`announce: renewed ${instance.address}: the registry is reachable again`);
        failing = false;
        this.#failure = undefined;
        this.#backoff.reset();
        wait = jitter(this.#interval, 0.1, random);
      } catch (error) {
        // Any failure may be temporary, rejections included: this registry has accepted the server before.
        if (signal.aborted) return;
        this.#failure = error as RpcError;
        if (!failing) log(`announce: ${this.#failure.message}; retrying until it succeeds`);
        failing = true;
        wait = this.#backoff.next(this.#interval / 3);
      }
    }
  }

  /** Registers or renews once. Returns whether the server was not on the list before. */
  async #sendHeartbeat(signal: AbortSignal): Promise<boolean> {
    const { interval, onDrain } = this.#options;
    const answer = await this.#renew(signal) ?? await this.#register(signal);
    this.#incarnation = answer.incarnation;
    this.#ttl = answer.ttl;
    // The registry decides the lease. The interval leaves time for a second heartbeat if one is lost.
    if (answer.ttl > 0) this.#interval = Math.min(interval ?? answer.ttl / 3, answer.ttl / 2);
    const drains = answer.state === "draining" && this.#state !== "draining";
    this.#state = answer.state;
    if (drains) onDrain();
    return answer.created;
  }

  /** Renews the lease. Undefined if there is nothing to renew. */
  async #renew(signal: AbortSignal): Promise<Answer | undefined> {
    if (this.#incarnation === undefined) return undefined;
    const answer = await this.#ask({ method: "POST", headers: this.#identity(), signal });
    if (answer.status !== 404 || readError(answer).code !== "not_found") return this.#read(answer);
    this.#incarnation = undefined;
    return undefined;
  }

  /**
   * Registers a new incarnation with its last known state. The registry then rejects heartbeats of earlier
   * incarnations.
   */
  async #register(signal: AbortSignal): Promise<Answer> {
    const { instance, ttl } = this.#options;
    // JSON omits undefined values.
    const body = { ...instance, incarnation: 0, ttl, state: this.#state };
    return this.#read(await this.#ask({ method: "POST", body, signal }));
  }

  #read(answer: RegistryAnswer): Answer {
    const read = readAnswer(answer, this.#options.instance);
    if (read === undefined) throw refusal("register", answer, this.#url);
    return read;
  }

  /** The headers that identify this server and its incarnation. */
  #identity(): Record<string, string> {
    const incarnation = this.#incarnation;
    return {
      "x-rpc-server": this.#options.instance.address,
      ...(incarnation === undefined ? {} : { "x-rpc-incarnation": String(incarnation) }),
    };
  }

  get #url(): URL {
    return this.#options.urls[this.#at]!;
  }

  /**
   * Asks the registry processes in turn until one gives a definitive response. Otherwise the most informative
   * outcome counts.
   */
  async #ask(
    request: Pick<RegistryRequest, "method" | "headers" | "body" | "signal"> & { timeout?: () => number },
  ): Promise<RegistryAnswer> {
    const { fetch, clock, urls, token, timeout, instance } = this.#options;
    let best: { rank: Rank; at: number; answer?: RegistryAnswer; error?: unknown } | undefined;
    for (let tries = 0; tries < urls.length && !(tries > 0 && request.signal?.aborted); tries++) {
      const at = this.#at;
      let answer: RegistryAnswer | undefined;
      let error: unknown;
      try {
        answer = await askRegistry({
          ...request,
          fetch,
          clock,
          url: this.#url,
          token,
          timeout: request.timeout?.() ?? timeout,
          maxBytes: MAX_ANSWER_BYTES,
        });
      } catch (caught) {
        error = caught;
      }
      const rank = answer === undefined ? rankOf((error as RpcError).code) : rankOfAnswer(answer, instance);
      if (answer !== undefined && rank === DECIDED) return answer;
      if (best === undefined || rank > best.rank) best = { rank, at, answer, error };
      this.#at = (at + 1) % urls.length;
    }
    this.#at = best!.at;
    if (best!.answer === undefined) throw best!.error;
    return best!.answer;
  }
}

/**
 * How informative the outcome of a request is: not a registry's response; a temporary failure; a rejection
 * that another process may not share (unknown server, wrong token); a definitive response.
 */
const [FOREIGN, TRANSIENT, DOUBTFUL, DECIDED] = [0, 1, 2, 3] as const;
type Rank = 0 | 1 | 2 | 3;

function rankOf(code: Code): Rank {
  return code === "unavailable" ? TRANSIENT : FOREIGN;
}

function rankOfAnswer(answer: RegistryAnswer, instance: Endpoint): Rank {
  const { status } = answer;
  if (status === 204 || readAnswer(answer, instance) !== undefined) return DECIDED;
  if (status >= 500 || !isCode(readError(answer).code)) return rankOf(codeOf(answer));
  return status === 401 || status === 404 ? DOUBTFUL : DECIDED;
}

/** Parses the response to a registration. `undefined` if it is not one. */
function readAnswer({ status, text }: RegistryAnswer, instance: Endpoint): Answer | undefined {
  const { address, ttl, incarnation, state } = parseObject(text);
  // A list has a `ttl`, too: the address shows that the request was handled as a registration.
  if (status !== 200 && status !== 201 || address !== instance.address || !isLease(ttl)) return undefined;
  return {
    ttl,
    incarnation: Number.isSafeInteger(incarnation) ? incarnation as number : undefined,
    state: state === "paused" || state === "draining" ? state : "active",
    created: status === 201,
  };
}

function refusal(doing: string, answer: RegistryAnswer, url: URL): RpcError {
  const { message } = readError(answer);
  const reason = typeof message === "string"
    ? message.slice(0, MAX_REASON)
    : "its response is not that of a registry";
  return new RpcError(
    codeOf(answer),
    `Cannot ${doing} at ${url.href}: ${reason} (status ${answer.status})`,
    { remote: true },
  );
}

function readError({ text }: RegistryAnswer): Record<string, unknown> {
  return (parseObject(text).error ?? {}) as Record<string, unknown>;
}

/**
 * Whether it is a valid lease duration: shorter ones would keep a server busy, longer ones exceed the range
 * of timers.
 */
function isLease(ttl: unknown): ttl is number {
  return typeof ttl === "number" && (ttl === 0 || ttl >= 1 && ttl <= MAX_DELAY);
}

/**
 * The error code of a response: `unavailable` if it may be temporary. A full registry is not: its operator
 * has to act.
 */
function codeOf(answer: RegistryAnswer): Code {
  const { status } = answer;
  const { code } = readError(answer);
  if (status === 429 && code === "resource_exhausted") return code;
  if (status >= 500 || status === 408 || status === 429) return "unavailable";
  return isCode(code) && code !== "unavailable" ? code : STATUS_CODES.get(status) ?? "failed_precondition";
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
  } catch {
    return {};
  }
}
