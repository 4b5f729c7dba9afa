// One attempt at a call on one picked server, until its outcome is known. Made by the client's Servers; reports the
// outcome to the server's health and to the balancer.

import type { Code, RpcError } from "../call/error.ts";
import type { Outcome, PickContext } from "../discovery/balancer.ts";
import type { Endpoint } from "../discovery/endpoint.ts";
import type { AttemptListener } from "../session/outgoing_call.ts";
import type { Channel } from "./channel.ts";

/** Reports the outcome of an attempt to a balancer. */
export type ReportOutcome = (endpoint: Endpoint, outcome: Outcome) => void;

/** A call that needs a server. */
export interface PickRequest extends PickContext {
  /** Whether its arguments or its answer are a stream. */
  readonly streams: boolean;
}

/** An attempt on a server that was picked. */
export class Attempt implements AttemptListener {
  /** The channel to the server. */
  readonly channel: Channel;
  readonly #notify: ReportOutcome | undefined;
  readonly #began: number;
  readonly #streams: boolean;
  readonly #lastResort: boolean;
  #over = false;

  /**
   * @param began When the call was made
   * @param streams Whether its arguments or its answer are a stream
   * @param lastResort Whether the server may be an ejected one
   */
  constructor(
    channel: Channel,
    notify: ReportOutcome | undefined,
    began: number,
    streams = false,
    lastResort = false,
  ) {
    this.channel = channel;
    this.#notify = notify;
    this.#began = began;
    this.#streams = streams;
    this.#lastResort = lastResort;
  }

  /** The server's address. */
  get address(): string {
    return this.channel.address;
  }

  /** Whether the server is a standby: it gets calls only if there is no other. */
  get isStandby(): boolean {
    return this.channel.health.endpoint.weight === 0;
  }

  /** The attempt has ended. */
  done(error?: RpcError): void {
    // An attempt that was never sent says nothing about the server.
    if (error?.notStarted && !error.remote) return this.release();
    if (error === undefined && this.#lastResort) this.channel.health.uneject();
    this.channel.done(error);
    this.#end(error?.code);
  }

  /** There is no connection to the server, or not soon enough. */
  unreachable(): void {
    this.channel.health.failed();
    this.#end("unavailable");
  }

  /** The attempt was not made, or the call has moved to another server. */
  release(): void {
    this.channel.release();
    this.#end("canceled");
  }

  #end(code: Code | undefined): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#notify === undefined) return;
    const duration = performance.now() - this.#began;
    this.#notify(this.channel.health.endpoint, { code, duration, streams: this.#streams });
  }
}
