// Keeps one server registered: the first registration, the heartbeats, taking off. Made by announce().

import { type Code, isCode, RpcError } from "../call/error.ts";
import { Backoff, jitter } from "../discovery/backoff.ts";
import { type Clock, MAX_DELAY, sleep } from "../discovery/clock.ts";
import type { Endpoint } from "../discovery/endpoint.ts";
import {
  askRegistry,
  type Fetch,
  type RegistryAnswer,
  type RegistryRequest,
} from "../discovery/registry_request.ts";

const MAX_ANSWER_BYTES = 64 * 1024;
/** How long close() may take in all, and how much of that may go to a heartbeat under way, in ms. */
const CLOSE_TIMEOUT = 1_000;
const CLOSE_BEAT_TIMEOUT = 500;
/** The heartbeat where neither side says otherwise: a third of the registry's default. */
const DEFAULT_INTERVAL = 10_000 / 3;
const MAX_REASON = 200;

/** What announce() has checked. */
export interface HeartbeatOptions {
  /** Of one registry: the next one is asked when one is away. */
  urls: readonly URL[];
  headers: Record<string, string>;
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
  draining: boolean;
  created: boolean;
}

/** A registration that is kept alive until it is closed. */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  /** Up to a third of the heartbeats' interval: a registry that is back before the lease has run out is in time. */
  readonly #backoff: Backoff;
  /** Ends the waits between heartbeats. */
  readonly #stopping = new AbortController();
  /** Ends the heartbeat under way. */
  readonly #cutting = new AbortController();
  #interval: number;
  /** Which of the URLs is in use: the first is left to chance, so that many servers spread. */
  #at: number;
  /** Which registration of the address this is, once the registry has said. */
  #incarnation: number | undefined;
  #draining = false;
  #running: Promise<void> = Promise.resolve();
  #closed: Promise<void> | undefined;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#at = Math.min(Math.floor(options.random() * options.urls.length), options.urls.length - 1);
    this.#interval = options.interval ?? (options.ttl ? options.ttl / 3 : DEFAULT_INTERVAL);
    this.#backoff = new Backoff(options.random);
  }

  /**
   * Registers, however long it takes, and goes on from there.
   *
   * @throws {RpcError} If the registry refuses: it would the next time too
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
    const { clock, instance, log } = this.#options;
    const begun = clock.now();
    this.#stopping.abort();
    // A heartbeat that arrived behind the DELETE would put the server back: so it is waited for, for a while.
    const cancelTimer = clock.setTimer(() => this.#cutting.abort(new Error("closed")), CLOSE_BEAT_TIMEOUT);
    await this.#running;
    cancelTimer();
    try {
      // Of a newer incarnation, which may have come in the meantime, this is none of its business.
      await this.#ask({
        method: "DELETE",
        headers: this.#names(),
        timeout: () => Math.max(1, CLOSE_TIMEOUT - (clock.now() - begun)),
      });
    } catch (error) {
      log(`announce: ${(error as Error).message}; ${instance.address} stays listed until its lease runs out`);
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
        this.#backoff.reset();
        wait = jitter(this.#interval, 0.1, random);
      } catch (error) {
        // Whatever it is, refusals included, may pass: it is a registry that has taken this server before.
        if (!away && !signal.aborted) {
          log(`announce: ${(error as Error).message}; trying again until it is back`);
        }
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
    // The registry has the last word on the lease, and heartbeats must be well within it.
    if (answer.ttl > 0 && (interval === undefined || interval >= answer.ttl)) this.#interval = answer.ttl / 3;
    const drains = answer.draining && !this.#draining;
    this.#draining = answer.draining;
    if (drains) onDrain();
    return answer.created;
  }

  /** A heartbeat proper. Undefined if there is nothing to renew. */
  async #renew(signal: AbortSignal): Promise<Answer | undefined> {
    if (this.#incarnation === undefined) return undefined;
    const answer = await this.#ask({ method: "POST", headers: this.#names(), signal });
    if (answer.status !== 404) return readAnswer(answer, this.#url);
    this.#incarnation = undefined;
    return undefined;
  }

  /** Registers as a new incarnation: heartbeats of one before count no more. */
  async #register(signal: AbortSignal): Promise<Answer> {
    const { instance, ttl } = this.#options;
    const body = { ...instance, incarnation: 0, ...(ttl === undefined ? {} : { ttl }) };
    return readAnswer(await this.#ask({ method: "POST", body, signal }), this.#url);
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

  /** Asks one registry after the other, until one is there. */
  async #ask(
    request: Pick<RegistryRequest, "method" | "headers" | "body" | "signal"> & { timeout?: () => number },
  ): Promise<RegistryAnswer> {
    const { fetch, clock, urls, headers, timeout } = this.#options;
    for (let tries = 1;; tries++) {
      try {
        const answer = await askRegistry({
          ...request,
          fetch,
          clock,
          url: this.#url,
          headers: { ...headers, ...request.headers },
          timeout: request.timeout?.() ?? timeout,
          maxBytes: MAX_ANSWER_BYTES,
        });
        if (answer.status !== 503 || tries >= urls.length) return answer;
      } catch (error) {
        if (tries >= urls.length || request.signal?.aborted) {
          this.#at = (this.#at + 1) % urls.length;
          throw error;
        }
      }
      this.#at = (this.#at + 1) % urls.length;
    }
  }
}

function readAnswer({ status, text }: RegistryAnswer, url: URL): Answer {
  const { ttl, incarnation, state, error } = parseObject(text);
  if ((status === 200 || status === 201) && isLease(ttl)) {
    return {
      ttl,
      incarnation: Number.isSafeInteger(incarnation) ? incarnation as number : undefined,
      draining: state === "draining",
      created: status === 201,
    };
  }
  const { code, message } = (error ?? {}) as Record<string, unknown>;
  const reason = typeof message === "string"
    ? message.slice(0, MAX_REASON)
    : "its answer is none of a registry's";
  throw new RpcError(
    codeOf(status, code),
    `Cannot register at ${url.href}: ${reason} (status ${status})`,
    { remote: true },
  );
}

/** Whether it is the time of a lease: shorter ones would keep a server busy, longer ones no timer can wait for. */
function isLease(ttl: unknown): ttl is number {
  return typeof ttl === "number" && (ttl === 0 || ttl >= 1 && ttl <= MAX_DELAY);
}

/** `unavailable` for what may be otherwise the next time. */
function codeOf(status: number, code: unknown): Code {
  if (status >= 500 || status === 408 || status === 429) return "unavailable";
  return isCode(code) && code !== "unavailable" ? code : "failed_precondition";
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
  } catch {
    return {};
  }
}
