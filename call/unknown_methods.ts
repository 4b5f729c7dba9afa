// Calls of names that a service table does not have. For a session all of them are one method, whose innermost step refuses
// the call: that way interceptors see it, and one that asks for a token answers first. Counted together and never by name,
// since a peer can invent as many as it likes. Owned by a service table.

import type { CallContext, Handler, Method } from "./handler.ts";
import type { RpcError } from "./error.ts";
import type { Log } from "./log.ts";

/** The log gets one line in so many ms: a peer that calls such names all the time does not fill it. */
const LOG_INTERVAL = 10_000;

/** The method that such names lead to. */
export class UnknownMethods implements Method {
  readonly unknown = true;
  readonly #refusal: (name: string) => RpcError;
  readonly #log: Log | undefined;
  /** The interceptors around the refusal; undefined while there are none. */
  #run: Handler | undefined;
  #calls = 0;
  #inFlight = 0;
  #loggedAt = -Infinity;
  /** Calls since the last line in the log. */
  #unlogged = 0;

  /**
   * @param refusal Makes the error for a name
   * @param log Gets a line about such calls
   */
  constructor(refusal: (name: string) => RpcError, log: Log | undefined) {
    this.#refusal = refusal;
    this.#log = log;
  }

  /** Calls so far. */
  get calls(): number {
    return this.#calls;
  }

  /** Calls that interceptors are handling. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Puts something around the refusal, in place of what was before. */
  wrap(around: (handler: Handler) => Handler): void {
    this.#run = around((_args, { method }) => {
      throw this.#refusal(method);
    });
  }

  /**
   * Takes a call up.
   *
   * @param peer The address of the caller
   * @throws {RpcError} The refusal, if there are no interceptors
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
