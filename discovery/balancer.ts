// The seam between a client and the choice of a server for each call. Each balancer is one file beside this
// one; balancers.ts makes one by its name.

import type { Code } from "../call/error.ts";
import type { Endpoint } from "./endpoint.ts";

/** What a {@linkcode Balancer} is told of the call that needs a server. */
export interface PickContext {
  /** The method called, as `Service.method`. */
  readonly method: string;
  /** What calls that belong together have in common, for balancers that hash. */
  readonly key?: string;
  /** The addresses that will not do, such as those that this call has tried already. */
  readonly exclude?: ReadonlySet<string>;
}

/** How a call went, for {@linkcode Balancer.done}. */
export interface Outcome {
  /**
   * Why the call failed; left out if it did not. `canceled` if its caller gave it up, or another server was faster: it
   * would have taken longer than `duration`.
   */
  readonly code?: Code;
  /** How long it took, in ms. A server that fails at once is not a fast one: look at `code` first. */
  readonly duration: number;
  /**
   * Whether its arguments or its answer were a stream. Streams last for as long as they have items: their `duration` says
   * nothing about how fast the server is.
   *
   * @default {false}
   */
  readonly streams?: boolean;
}

/**
 * Chooses the server of each call.
 *
 * A balancer belongs to one client. Its methods are synchronous and do no I/O: `pick` is run for every call.
 *
 * @example A balancer of one's own, which prefers the first server of the list
 * ```ts
 * import { type Balancer, createBalancer, type Endpoint } from "@troodon/rpc/discovery";
 *
 * let servers: readonly Endpoint[] = [];
 * const first: Balancer = {
 *   update: (endpoints) => void (servers = endpoints),
 *   pick: ({ exclude }) => servers.find(({ address }) => !exclude?.has(address)),
 * };
 * createBalancer(first);
 * ```
 */
export interface Balancer {
  /**
   * Takes the servers that there are from now on: those of the discovery, without those that are set aside because they
   * fail. It is run each time that one comes or goes.
   *
   * @param endpoints The whole list, each address once; it will not change afterwards
   */
  update(endpoints: readonly Endpoint[]): void;
  /**
   * Chooses a server.
   *
   * @param call What is known of the call
   * @returns One of the servers of the last update, or `undefined` if none will do
   */
  pick(call: PickContext): Endpoint | undefined;
  /**
   * Hears how a call went: once for each server that `pick` returned, be it gone from the list by then.
   *
   * @param endpoint The server that was picked
   * @param outcome How it went
   */
  done?(endpoint: Endpoint, outcome: Outcome): void;
}
