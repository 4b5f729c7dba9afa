// The seam between calls and whoever watches each of them, such as telemetry. Sessions and clients tell; where nobody
// watches, which is the rule, all of it is one look at a property that is not there.

import type { RpcError } from "./error.ts";
import type { Metadata } from "./metadata.ts";

/** One call that is being answered, as it is watched. */
export interface ServerCallObserver {
  /** Runs the handler, in the context of which it is part. */
  run<R>(answer: () => R): R;
  /** The caller has had its answer, or is owed none any more. */
  end(error?: RpcError): void;
}

/** A call that is made here, as much of it as a watcher needs. */
export interface ObservedCall {
  readonly method: string;
  /** What is sent along: a watcher may put others in their place until the call is sent. */
  metadata: Metadata | undefined;
}

/** One call that is made here, as it is watched. */
export interface ClientCallObserver {
  /**
   * It is about to be sent for the first time.
   *
   * @param now On the clock of `performance.now()`
   * @param address Where to, as far as that is known
   */
  begin(now: number, address: string | undefined): void;
  /** An attempt of it was answered. */
  answeredAt(address: string): void;
  /** An attempt of it failed, or could not be made. There may be others. */
  failedAt(address: string, error: unknown): void;
  /** It has its result. */
  end(): void;
  /** It has failed for good, or could not even begin. */
  failed(error: unknown): void;
}

/** Watches the calls that are made by one client, or back to one caller. */
export interface ClientObserver {
  /**
   * Begins to watch a call that has just been made and not yet been sent; undefined = nobody needs to.
   *
   * @param outer The context of the call whose answering it is part of
   */
  observe(call: ObservedCall, outer: object | undefined): ClientCallObserver | undefined;
}
