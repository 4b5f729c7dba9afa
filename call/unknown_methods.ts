// Calls of names that the service table does not have. Sessions treat all of them as one method, whose innermost step rejects
// the call: interceptors see it, and one that requires a token rejects it first. Counted together and never by name, since a
// peer can invent any number of names. Owned by a service table.

import type { CallContext, Handler, Method } from "./handler.ts";
import type { RpcError } from "./error.ts";
import type { Log } from "./log.ts";

/** Minimum interval between log lines in ms, so that a peer that calls unknown names constantly does not flood the log. */
const LOG_INTERVAL = 10_000;

/** The method that all unknown names lead to. */
export class UnknownMethods implements Method {
  readonly unknown = true;
  readonly #refusal: (name: string) => RpcError;
  readonly #log: Log | undefined;
  /** The interceptors around the rejection; undefined without interceptors. */
  #run: Handler | undefined;
  #calls = 0;
  #inFlight = 0;
  #loggedAt = -Infinity;
  /** Calls since the last log line. */
  #unlogged = 0;

  /**
   * @param refusal Creates the error for a name
   * @param log Receives a line about calls of unknown names
   */
  constructor(refusal: (name: string) => RpcError, log: Log | undefined) {
    this.#refusal = refusal;
    this.#log = log;
  }

  /** Number of calls so far. */
  get calls(): number {
    return this.#calls;
  }

  /** Number of calls that interceptors are handling. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Wraps the rejection in interceptors, replacing any previous wrapper. */
  wrap(around: (handler: Handler) => Handler): void {
    this.#run = around((_args, { method }) => {
      throw this.#refusal(method);
    });
  }

  /**
   * Counts and logs a call.
   *
   * @param peer The address of the caller
   * @throws {RpcError} `unimplemented`, if there are no interceptors
   */
  find(name: string, peer: string | undefined): Method {
    this.#calls++;
    const refusal = this.#refusal(name);
    this.#note(refusal, peer);
    if (this.#run === undefined) throw refusal;
    return this;
  }

  start(args: unknown, context: CallContext): unknown {
    this.#inFlight++;
    return this.#run?.(args, context);
  }

  answered(): void {}

  returned(): void {
    this.#inFlight--;
  }

  #note({ message }: RpcError, peer: string | undefined): void {
    const now = performance.now();
    if (now < this.#loggedAt + LOG_INTERVAL) {
      this.#unlogged++;
      return;
    }
    const more = this.#unlogged > 0 ? ` (${this.#unlogged} more such calls since this was last logged)` : "";
    this.#log?.(`Cannot answer a call from ${peer ?? "a peer"}: ${message}${more}`);
    this.#loggedAt = now;
    this.#unlogged = 0;
  }
}
