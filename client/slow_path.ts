// Calls that need more than one attempt over a connection that is there: they wait for one, or go to other servers. Owned
// by a Client, whose fast path hands over what it cannot send at once.

import { isRpcError, RpcError } from "../call/error.ts";
import { endedWith } from "../call/outcome.ts";
import type { FailMode } from "../call/call_options.ts";
import { type CallBodies, type CallBody, canChange } from "../session/call_body.ts";
import { unencodable } from "../session/frame_writer.ts";
import type { OutgoingCall } from "../session/outgoing_call.ts";
import type { Attempt } from "./attempt.ts";
import type { ClientSettings } from "./connect_options.ts";
import { failModeOf } from "./fail_mode.ts";
import { fanOut, hedge } from "./hedging.ts";
import type { RetryBudget } from "./retry_budget.ts";
import { noServer, reach, retry, type RetryContext } from "./retry_loop.ts";
import { type Answer, mayRetry, sendsAgain } from "./send_attempt.ts";
import type { Servers } from "./servers.ts";
import { callServer } from "./single_server.ts";

/** The slow path of one client's calls. */
export class SlowPath {
  readonly #settings: ClientSettings;
  readonly #servers: Servers;
  readonly #bodies: CallBodies;
  readonly #budget: RetryBudget;
  /** What retries need of the client. */
  readonly context: RetryContext;
  /** Fails the calls that no server could be reached for, in the next turn of the event loop. */
  readonly #failing = new Set<() => void>();
  #closed = false;

  constructor(settings: ClientSettings, servers: Servers) {
    this.#settings = settings;
    this.#servers = servers;
    this.#bodies = settings.dial.bodies;
    this.#budget = settings.budget;
    this.context = {
      budget: settings.budget,
      pick: (...pick) => {
        if (this.#closed) throw closed();
        return servers.pickAttempt(...pick);
      },
      changes: servers,
    };
  }

  /** Fails the calls that wait for the next turn, and starts no more attempts. */
  close(): void {
    this.#closed = true;
    for (const fail of this.#failing) fail();
  }

  /** Makes a call again that failed with `error`, if its fail mode allows that; returns whether it does. */
  again(call: OutgoingCall, error: RpcError): boolean {
    const mode = failModeOf(call, this.#settings.failMode);
    if (mode === "failfast" && call.waitForReady && isUnreached(error)) {
      this.#settle(call, this.#make(call, mode, undefined));
      return true;
    }
    if (mode === "failfast" || call.listener === undefined) return false;
    if (!sendsAgain(error, call, this.#budget)) return false;
    const { address } = call.listener;
    this.#settle(call, retry(call, this.context, undefined, call.signal, { address, error }));
    return true;
  }

  /** As {@linkcode keepArgs}, of a call that interceptors hold back. What cannot be encoded, they may replace. */
  keepEarly(args: unknown): CallBody | undefined {
    try {
      return canChange(args) && !this.#bodies.full
        ? this.#bodies.encode(args, this.#settings.dial.codec)
        : undefined;
    } catch {
      return undefined;
    }
  }

  /**
   * Encodes the arguments of a call that has to wait or has several attempts: all of them send the same.
   *
   * @throws {RpcError} `invalid_argument` if they cannot be encoded
   */
  keepArgs(call: OutgoingCall): void {
    if (call.body !== undefined || !canChange(call.args)) return;
    try {
      call.body = this.#bodies.encode(call.args, this.#settings.dial.codec);
    } catch (error) {
      throw endedWith(unencodable(error), true);
    }
  }

  /**
   * Takes a call to another server, if one takes calls: the connection on which it waits has no room, or the server there
   * is silent.
   *
   * @param reason Why it would fail there, if it has been sent
   */
  leaves(call: OutgoingCall, reason: RpcError | undefined): boolean {
    const { listener, method, key, streams } = call;
    if (this.#closed || listener === undefined) return false;
    const mode = failModeOf(call, this.#settings.failMode);
    if (
      reason !== undefined && (mode !== "failover" || !mayRetry(reason, call) || !this.#budget.left)
    ) {
      return false;
    }
    const { address } = listener;
    const attempt = this.#servers.pickAttempt({ method, key, streams, exclude: new Set([address]) }, true);
    if (attempt === undefined) return false;
    listener.release();
    const session = attempt.channel.ready;
    if (reason !== undefined) {
      this.#budget.take();
      this.#settle(call, retry(call, this.context, attempt, call.signal, { address, error: reason }));
    } else if (session !== undefined && call.observer === undefined) {
      call.listener = attempt;
      session.call(call);
    } else this.start(call, mode, attempt);
    return true;
  }

  /** Makes a call that has to wait, or has several attempts, with its arguments as they are now. */
  start(call: OutgoingCall, mode: FailMode, attempt: Attempt | undefined): void {
    try {
      this.keepArgs(call);
    } catch (error) {
      attempt?.release();
      return call.fail(error);
    }
    this.#settle(call, this.#make(call, mode, attempt));
  }

  /** Makes a call that needs more than one attempt over a connection that is there. */
  #make(call: OutgoingCall, mode: FailMode, attempt: Attempt | undefined): Promise<Answer> {
    const context = this.context;
    if (mode === "failover") return retry(call, context, attempt);
    if (typeof mode !== "string") {
      const answer = "backup" in mode
        ? hedge(call, context, attempt, mode.backup)
        : fanOut(call, context, attempt, mode.fork);
      if (!call.waitForReady) return answer;
      // While no server can be reached there is nothing to choose from: the first one that can be gets the call.
      return answer.catch((error) => {
        const unavailable = isRpcError(error) && error.code === "unavailable" && !error.remote;
        if (!unavailable || !sendsAgain(error, call, this.#budget)) throw error;
        return retry(call, context, undefined);
      });
    }
    const options = { signal: call.signal, again: mode === "failfast" ? "never" : "always" } as const;
    if (call.waitForReady) {
      return reach(call, context, attempt).then((attempt) => callServer(call, attempt, context, options));
    }
    return attempt === undefined ? Promise.reject(noServer()) : callServer(call, attempt, context, options);
  }

  #settle(call: OutgoingCall, answer: Promise<Answer>): void {
    answer.then(({ value, metadata }) => call.settle(value, metadata), (error) => {
      if (isUnreached(error) && !this.#closed) this.#failNextTurn(call, error);
      else call.fail(error);
    });
  }

  /**
   * While no server can be reached, calls fail without waiting for anything: whoever makes them again and again would keep
   * the event loop from timers and sockets, and so from ever reaching one.
   */
  #failNextTurn(call: OutgoingCall, error: RpcError): void {
    const fail = () => {
      clearTimeout(timer);
      this.#failing.delete(fail);
      call.fail(error);
    };
    const timer = setTimeout(fail, 0);
    this.#failing.add(fail);
  }
}

/** The error of calls to a client that was closed. */
export function closed(): RpcError {
  return new RpcError("unavailable", "The client is closed", { notStarted: true });
}

/** Whether it says that a call was never sent, since there was no connection. */
function isUnreached(error: unknown): error is RpcError {
  return isRpcError(error) && error.code === "unavailable" && error.notStarted && !error.remote;
}
