// One server, picked for one attempt at a call, until it is known how that went. Made by the client's Servers; it tells
// the server's health and, if that wants to know, the balancer.

import type { Code, RpcError } from "../call/error.ts";
import type { Outcome, PickContext } from "../discovery/balancer.ts";
import type { Endpoint } from "../discovery/endpoint.ts";
import type { AttemptListener } from "../session/outgoing_call.ts";
import type { Channel } from "./channel.ts";

/** Tells a balancer how an attempt went. */
export type ReportOutcome = (endpoint: Endpoint, outcome: Outcome) => void;

/** A call that needs a server. */
export interface PickRequest extends PickContext {
  /** Whether its arguments or its answer are a stream. */
  readonly streams: boolean;
}

/** A server that was picked. */
export class Attempt implements AttemptListener {
  /** The way to it. */
  readonly channel: Channel;
  readonly #notify: ReportOutcome | undefined;
  readonly #began: number;
  readonly #streams: boolean;
  readonly #lastResort: boolean;
  #over = false;

  /**
   * @param began When the call was made
   * @param streams Whether its arguments or its answer are a stream
   * @param lastResort Whether the server may be one that is set aside
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

  /** Whether the server gets calls only if there is no other. */
  get isStandby(): boolean {
    return this.channel.health.endpoint.weight === 0;
  }

  /** The attempt is over. */
  done(error?: RpcError): void {
    // What was never sent says nothing about the server.
    if (error?.notStarted && !error.remote) return this.release();
    if (error === undefined && this.#lastResort) this.channel.health.uneject();
    this.channel.done(error);
    this.#end(error?.code);
  }

  /** There is no connection to it, or not soon enough. */
  unreachable(): void {
    this.channel.health.failed();
    this.#end("unavailable");
  }

  /** There is no attempt after all, or it goes on elsewhere. */
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
