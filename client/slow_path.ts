// Calls that cannot be sent at once over a ready connection, or that are retried: they wait for a connection, or fail
// over to other servers. Owned by a Client, whose fast path passes such calls on.

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
import { reach, retry, type RetryContext } from "./retry_loop.ts";
import { type Answer, mayRetry, sendsAgain, withAllErrors } from "./send_attempt.ts";
import type { Servers } from "./servers.ts";
import { callServer } from "./single_server.ts";

/** The slow path of one client's calls. */
export class SlowPath {
  readonly #settings: ClientSettings;
  readonly #servers: Servers;
  readonly #bodies: CallBodies;
  readonly #budget: RetryBudget;
  /** What retries use: the budget, the choice of servers, and changes of their list. */
  readonly context: RetryContext;
  /** Functions that fail the calls for which no server could be reached, in the next turn of the event loop. */
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
      noServer: (method) => servers.noServer(method),
    };
  }

  /** Fails the calls that wait for the next turn. No attempt starts after this. */
  close(): void {
    this.#closed = true;
    for (const fail of this.#failing) fail();
  }

  /** Retries a call that failed with `error`, if its fail mode allows that; returns whether it does. */
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

  /**
   * As {@linkcode keepArgs}, for a call that interceptors delay. Undefined if encoding fails: they may replace the
   * arguments.
   */
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
   * Encodes the arguments of a call that waits or may have several attempts, so that all attempts send the same bytes.
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
   * Moves a call to another server that takes calls, because its connection has no room or its server is silent.
   *
   * @param reason Why the call would fail where it is, if it has been sent
   * @returns Whether the call has moved
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
    const pick = (exclude: ReadonlySet<string>) =>
      this.#servers.pickAttempt({ method, key, streams, exclude }, true);
    let attempt = pick(new Set([address]));
    // A connection that is silent says little about others to the same server.
    const { connections = 0 } = this.#servers.channel(address) ?? {};
    const stays = attempt === undefined;
    if (stays && connections > 1) attempt = pick(new Set());
    if (attempt === undefined) return false;
    listener.release();
    // On the same server it may get the connection that it leaves, which has to have forgotten it first.
    const session = stays ? undefined : attempt.channel.sessionFor(call);
    if (reason !== undefined) {
      this.#budget.take();
      this.#settle(call, retry(call, this.context, attempt, call.signal, { address, error: reason }));
    } else if (session !== undefined && call.observer === undefined) {
      call.listener = attempt;
      session.call(call);
    } else this.start(call, mode, attempt);
    return true;
  }

  /** Makes a call that waits or may have several attempts, with its arguments as they are now. */
  start(call: OutgoingCall, mode: FailMode, attempt: Attempt | undefined): void {
    try {
      this.keepArgs(call);
    } catch (error) {
      attempt?.release();
      return call.fail(error);
    }
    this.#settle(call, this.#make(call, mode, attempt));
  }

  /** Makes the attempts of a call, according to its fail mode. */
  #make(call: OutgoingCall, mode: FailMode, attempt: Attempt | undefined): Promise<Answer> {
    const context = this.context;
    if (mode === "failover") return retry(call, context, attempt);
    if (typeof mode !== "string") {
      const answer = "backup" in mode
        ? hedge(call, context, attempt, mode.backup)
        : fanOut(call, context, attempt, mode.fork);
      if (!call.waitForReady) return answer;
      // While no server can be reached, there is no choice: the first one that becomes reachable gets the call.
      return answer.catch(async (error) => {
        const unavailable = isRpcError(error) && error.code === "unavailable" && !error.remote;
        if (!unavailable || !sendsAgain(error, call, this.#budget)) throw error;
        try {
          return await retry(call, context, undefined);
        } catch (last) {
          throw isRpcError(last) ? withAllErrors(last, [error, last]) : last;
        }
      });
    }
    const options = { signal: call.signal, again: mode === "failfast" ? "never" : "always" } as const;
    if (call.waitForReady) {
      return reach(call, context, attempt).then((attempt) => callServer(call, attempt, context, options));
    }
    return attempt === undefined
      ? Promise.reject(context.noServer(call.method))
      : callServer(call, attempt, context, options);
  }

  #settle(call: OutgoingCall, answer: Promise<Answer>): void {
    answer.then(({ value, metadata }) => call.settle(value, metadata), (error) => {
      if (isUnreached(error) && !this.#closed) this.#failNextTurn(call, error);
      else call.fail(error);
    });
  }

  /**
   * Fails a call in the next turn of the event loop. A caller that retries in a loop would otherwise keep the event
   * loop from its timers and sockets, and so from ever reaching a server.
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

/** Whether an error says that a call was never sent because there was no connection. */
function isUnreached(error: unknown): error is RpcError {
  return isRpcError(error) && error.code === "unavailable" && error.notStarted && !error.remote;
}
