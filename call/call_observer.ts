// Interfaces between calls and their observers, such as telemetry. Sessions and clients notify them. Without an observer,
// which is the usual case, a call pays for one read of an absent property.

import type { RpcError } from "./error.ts";
import type { Metadata } from "./metadata.ts";

/** Observer of one incoming call. */
export interface ServerCallObserver {
  /** Runs the handler inside the observer's context, such as a span. */
  run<R>(answer: () => R): R;
  /** Called when the caller has received its answer, or no longer expects one. */
  end(error?: RpcError): void;
}

/** An outgoing call, as far as an observer needs it. */
export interface ObservedCall {
  readonly method: string;
  /** Metadata to send. An observer may replace it until the call is sent. */
  metadata: Metadata | undefined;
}

/** Observer of one outgoing call. */
export interface ClientCallObserver {
  /**
   * Called right before the call is sent for the first time.
   *
   * @param now In ms, on the clock of `performance.now()`
   * @param address The address of the server, if known
   */
  begin(now: number, address: string | undefined): void;
  /** Called when an attempt was answered. */
  answeredAt(address: string): void;
  /** Called when an attempt failed or could not be made. More attempts may follow. */
  failedAt(address: string, error: unknown): void;
  /** Called when the call has its result. */
  end(): void;
  /** Called when the call has failed for good, or could not be started. */
  failed(error: unknown): void;
}

/** Observer of the calls of one client, or of calls back to one caller. */
export interface ClientObserver {
  /**
   * Creates the observer of a call that was just made and is not sent yet; undefined = this call is not observed.
   *
   * @param outer The context of the incoming call whose handler makes this call
   */
  observe(call: ObservedCall, outer: object | undefined): ClientCallObserver | undefined;
}
