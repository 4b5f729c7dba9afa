// Keeps one server registered: the first registration, the heartbeats, taking off. Made by announce().

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
/** How long close() may take in all, and how much of that may go to a heartbeat under way, in ms. */
const CLOSE_TIMEOUT = 1_000;
const CLOSE_BEAT_TIMEOUT = 500;
/** The heartbeat where neither side says otherwise: a third of the registry's default. */
const DEFAULT_INTERVAL = 10_000 / 3;
const MAX_REASON = 200;

/** What announce() has checked. */
export interface LeaseRenewalOptions {
  /** Of one registry: the next one is asked when one is away. */
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

/** What the registry says to a heartbeat. */
interface Answer {
  ttl: number;
  incarnation: number | undefined;
  state: InstanceState;
  created: boolean;
}

/** A registration that is kept alive until it is closed. */
export class LeaseRenewal {
  readonly #options: LeaseRenewalOptions;
  /** Up to a third of the heartbeats' interval: a registry that is back before the lease has run out is in time. */
  readonly #backoff: Backoff;
  /** Ends the waits between heartbeats. */
  readonly #stopping = new AbortController();
  /** Ends the heartbeat under way. */
  readonly #cutting = new AbortController();
  #interval: number;
  /** The lease that the registry has granted, in ms. */
  #ttl = 0;
  /** Which of the URLs is in use: the first is left to chance, so that many servers spread. */
  #at: number;
  /** Which registration of the address this is, once the registry has said. */
  #incarnation: number | undefined;
  /** What the registry has answered last, and receives if it has forgotten the server. */
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

  /** Why the last heartbeat failed; undefined if it did not. */
  get failure(): RpcError | undefined {
    return this.#failure;
  }

  /**
   * Registers, however long it takes, and goes on from there.
   *
   * @throws {RpcError} If the registry refuses, or is full: it would the next time too
   * @throws The signal's reason, if it aborts before
   */
  async start(signal: AbortSignal | undefined): Promise<void> {
    const { clock, log } = this.#options;
    const never = signal ?? new AbortController().signal;
    for (let tries = 0;; tries++) {
      never.throwIfAborted();
      try {
        await this.#beat(never);
        break;
      } catch (error) {
        never.throwIfAborted();
        if (!(error instanceof RpcError) || error.code !== "unavailable") throw error;
        if (tries === 0) log(`announce: ${error.message}; trying again until it answers`);
        await sleep(clock, this.#backoff.next(this.#interval / 3), never);
      }
    }
    log(`announce: registered ${this.#options.instance.address} at ${this.#url.href}`);
    this.#backoff.reset();
    this.#running = this.#run();
  }

  /** Stops the heartbeats and takes the server off the list: best effort, within 1 s, never rejects. */
  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  async #close(): Promise<void> {
    const { clock, instance, log, random } = this.#options;
    const begun = clock.now();
    this.#stopping.abort();
    // A heartbeat that arrived behind the DELETE would put the server back: so it is waited for, for a while.
    const cancelTimer = clock.setTimer(() => this.#cutting.abort(new Error("closed")), CLOSE_BEAT_TIMEOUT);
    await this.#running;
    cancelTimer();
    const left = () => CLOSE_TIMEOUT - (clock.now() - begun);
    const backoff = new Backoff(random);
    for (;;) {
      try {
        return await this.#takeOff(() => Math.max(1, left()));
      } catch (error) {
        const wait = backoff.next(CLOSE_TIMEOUT);
        if (wait >= left()) {
          const until = this.#ttl === 0 ? "it is taken off" : "its lease runs out";
          const { message } = error as RpcError;
          return log(`announce: ${message}; ${instance.address} stays listed until ${until}`);
        }
        await sleep(clock, wait, new AbortController().signal);
      }
    }
  }

  /** Takes the server off the list, unless a newer incarnation has its place. Throws if that is not certain. */
  async #takeOff(timeout: () => number): Promise<void> {
    const answer = await this.#ask({ method: "DELETE", headers: this.#names(), timeout });
    const { code } = readError(answer);
    const isOff = code === "not_found" || code === "aborted";
    if (!isOff && (answer.status >= 300 || rankOfAnswer(answer, this.#options.instance) !== DECIDED)) {
      throw refusal("take off", answer, this.#url);
    }
  }

  async #run(): Promise<void> {
    const { clock, instance, log, random } = this.#options;
    const signal = this.#stopping.signal;
    let wait = jitter(this.#interval, 0.1, random);
    let away = false;
    while (true) {
      // One after the other: the next heartbeat is not thought of before this one has ended.
      await sleep(clock, wait, signal);
      if (signal.aborted) return;
      try {
        const created = await this.#beat(this.#cutting.signal);
        if (created) {
          log(`announce: registered ${instance.address} again, the registry did not know it any more`);
        } else if (away) log(`announce: renewed ${instance.address}, the registry is back`);
        away = false;
        this.#failure = undefined;
        this.#backoff.reset();
        wait = jitter(this.#interval, 0.1, random);
      } catch (error) {
        // Whatever it is, refusals included, may pass: it is a registry that has taken this server before.
        if (signal.aborted) return;
        this.#failure = error as RpcError;
        if (!away) log(`announce: ${this.#failure.message}; trying again until it is back`);
        away = true;
        wait = this.#backoff.next(this.#interval / 3);
      }
    }
  }

  /** Registers or renews once. Returns whether the registry did not know the server before. */
  async #beat(signal: AbortSignal): Promise<boolean> {
    const { interval, onDrain } = this.#options;
    const answer = await this.#renew(signal) ?? await this.#register(signal);
    this.#incarnation = answer.incarnation;
    this.#ttl = answer.ttl;
    // The registry decides on the lease, and there must be time for a second heartbeat within it if one is lost.
    if (answer.ttl > 0) this.#interval = Math.min(interval ?? answer.ttl / 3, answer.ttl / 2);
    const drains = answer.state === "draining" && this.#state !== "draining";
    this.#state = answer.state;
    if (drains) onDrain();
    return answer.created;
  }

  /** A heartbeat proper. Undefined if there is nothing to renew. */
  async #renew(signal: AbortSignal): Promise<Answer | undefined> {
    if (this.#incarnation === undefined) return undefined;
    const answer = await this.#ask({ method: "POST", headers: this.#names(), signal });
    if (answer.status !== 404 || readError(answer).code !== "not_found") return this.#read(answer);
    this.#incarnation = undefined;
    return undefined;
  }

  /** Registers as a new incarnation, in the state that it was in: heartbeats of one before count no more. */
  async #register(signal: AbortSignal): Promise<Answer> {
    const { instance, ttl } = this.#options;
    // What is undefined is left out of JSON.
    const body = { ...instance, incarnation: 0, ttl, state: this.#state };
    return this.#read(await this.#ask({ method: "POST", body, signal }));
  }

  #read(answer: RegistryAnswer): Answer {
    const read = readAnswer(answer, this.#options.instance);
    if (read === undefined) throw refusal("register", answer, this.#url);
    return read;
  }

  /** The headers that say which server it is. */
  #names(): Record<string, string> {
    const incarnation = this.#incarnation;
    return {
      "x-rpc-server": this.#options.instance.address,
      ...(incarnation === undefined ? {} : { "x-rpc-incarnation": String(incarnation) }),
    };
  }

  get #url(): URL {
    return this.#options.urls[this.#at]!;
  }

  /** Asks one registry after the other, until one decides. If none does, what says most about it is what counts. */
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
 * How much an answer, or the lack of one, says about what was asked: it is not that of a registry; it may be otherwise the
 * next time; the registry does not find the server or refuses the token, where another one may not; it has decided.
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

/** What a registry answers to a server that it has registered. `undefined` if it is not such an answer. */
function readAnswer({ status, text }: RegistryAnswer, instance: Endpoint): Answer | undefined {
  const { address, ttl, incarnation, state } = parseObject(text);
  // A list has a time, too: what names the server was asked with the method that was meant.
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
    : "its answer is none of a registry's";
  return new RpcError(
    codeOf(answer),
    `Cannot ${doing} at ${url.href}: ${reason} (status ${answer.status})`,
    { remote: true },
  );
}

function readError({ text }: RegistryAnswer): Record<string, unknown> {
  return (parseObject(text).error ?? {}) as Record<string, unknown>;
}

/** Whether it is the time of a lease: shorter ones would keep a server busy, longer ones no timer can wait for. */
function isLease(ttl: unknown): ttl is number {
  return typeof ttl === "number" && (ttl === 0 || ttl >= 1 && ttl <= MAX_DELAY);
}

/** `unavailable` for what may be otherwise the next time. That a registry is full is not: its operator has to know. */
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
