// One server, picked for one attempt at a call, until it is known how that went. Made by the client's Servers; it tells
// the server's standing and, if that wants to know, the balancer.

import type { Code, RpcError } from "../call/error.ts";
import type { Outcome, PickContext } from "../discovery/balancer.ts";
import type { Endpoint } from "../discovery/endpoint.ts";
import type { AttemptListener } from "../session/outgoing_call.ts";
import type { Channel } from "./channel.ts";

/** Tells a balancer how an attempt went. */
export type Notify = (endpoint: Endpoint, outcome: Outcome) => void;

/** A call that needs a server. */
export interface Unplaced extends PickContext {
  /** Whether its arguments or its answer are a stream. */
  readonly streams: boolean;
}

/** A server that was picked. */
export class Leg implements AttemptListener {
  /** The way to it. */
  readonly channel: Channel;
  readonly #notify: Notify | undefined;
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
    notify: Notify | undefined,
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
  get standsBy(): boolean {
    return this.channel.standing.endpoint.weight === 0;
  }

  /** The attempt is over. */
  done(error?: RpcError): void {
    // What was never sent says nothing about the server.
    if (error?.notStarted && !error.remote) return this.leave();
    if (error === undefined && this.#lastResort) this.channel.standing.letIn();
    this.channel.done(error);
    this.#end(error?.code);
  }

  /** There is no connection to it, or not soon enough. */
  missed(): void {
    this.channel.standing.failed();
    this.#end("unavailable");
  }

  /** There is no attempt after all, or it goes on elsewhere. */
  leave(): void {
    this.channel.leave();
    this.#end("canceled");
  }

  #end(code: Code | undefined): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#notify === undefined) return;
    const duration = performance.now() - this.#began;
    this.#notify(this.channel.standing.endpoint, { code, duration, streams: this.#streams });
  }
}
