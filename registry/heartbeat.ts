// Keeps one server registered: the first registration, the heartbeats, taking off. Made by announce().

import { type Code, isCode, RpcError } from "../call/error.ts";
import { Backoff, jitter } from "../discovery/backoff.ts";
import { type Clock, sleep } from "../discovery/clock.ts";
import type { Endpoint } from "../discovery/endpoint.ts";
import { askRegistry, type Fetch, type RegistryAnswer } from "../discovery/registry_request.ts";

const MAX_ANSWER_BYTES = 64 * 1024;
/** How long close() may take in all, and how much of that may go to a heartbeat under way, in ms. */
const CLOSE_TIMEOUT = 1_000;
const CLOSE_BEAT_TIMEOUT = 500;
/** The heartbeat where neither side says otherwise: a third of the registry's default. */
const DEFAULT_INTERVAL = 10_000 / 3;
const MAX_REASON = 200;

/** What announce() has checked. */
export interface HeartbeatOptions {
  url: URL;
  instance: Endpoint;
  ttl: number | undefined;
  interval: number | undefined;
  timeout: number;
  fetch: Fetch;
  clock: Clock;
  random: () => number;
  log: (message: string) => void;
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
  #running: Promise<void> = Promise.resolve();
  #closed: Promise<void> | undefined;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
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
    const { clock, log, url } = this.#options;
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
    log(`announce: registered ${this.#options.instance.address} at ${url.href}`);
    this.#backoff.reset();
    this.#running = this.#run();
  }

  /** Stops the heartbeats and takes the server off the list: best effort, within 1 s, never rejects. */
  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  async #close(): Promise<void> {
    const { clock, fetch, instance, log, url } = this.#options;
    const begun = clock.now();
    this.#stopping.abort();
    // A heartbeat that arrived behind the DELETE would put the server back: so it is waited for, for a while.
    const cancelTimer = clock.setTimer(() => this.#cutting.abort(new Error("closed")), CLOSE_BEAT_TIMEOUT);
    await this.#running;
    cancelTimer();
    try {
      const target = new URL(url);
      target.searchParams.set("address", instance.address);
      const timeout = Math.max(1, CLOSE_TIMEOUT - (clock.now() - begun));
      await askRegistry({ fetch, clock, url: target, method: "DELETE", timeout, maxBytes: MAX_ANSWER_BYTES });
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
    const { fetch, clock, url, timeout, instance, ttl, interval } = this.#options;
    const body = ttl === undefined ? instance : { ...instance, ttl };
    const answer = await askRegistry({
      fetch,
      clock,
      method: "POST",
      url,
      body,
      timeout,
      maxBytes: MAX_ANSWER_BYTES,
      signal,
    });
    const granted = readGrantedTtl(answer, url);
    // The registry has the last word on the lease, and heartbeats must be well within it.
    if (granted > 0 && (interval === undefined || interval >= granted)) this.#interval = granted / 3;
    return answer.status === 201;
  }
}

function readGrantedTtl({ status, text }: RegistryAnswer, url: URL): number {
  const answer = parseObject(text);
  const ttl = answer.ttl;
  if ((status === 200 || status === 201) && typeof ttl === "number" && ttl >= 0) return ttl;
  const { code, message } = (answer.error ?? {}) as Record<string, unknown>;
  const reason = typeof message === "string"
    ? message.slice(0, MAX_REASON)
    : "its answer is none of a registry's";
  throw new RpcError(
    codeOf(status, code),
    `Cannot register at ${url.href}: ${reason} (status ${status})`,
    { remote: true },
  );
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
