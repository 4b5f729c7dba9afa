// The interface between a client and its load balancer, which chooses a server for each call. Each balancer has a file in this
// folder; create_balancer.ts creates one by its name.

import type { Code } from "../call/error.ts";
import type { Endpoint } from "./endpoint.ts";

/** The call that a {@linkcode Balancer} picks a server for. */
export interface PickContext {
  /** The full name of the method, such as `Service.method`. */
  readonly method: string;
  /** The call's key, for balancers that hash: calls with the same key prefer the same server. */
  readonly key?: string | undefined;
  /** Addresses that must not be picked, such as those that this call has already tried. */
  readonly exclude?: ReadonlySet<string>;
}

/** The outcome of an attempt, for {@linkcode Balancer.done}. */
export interface Outcome {
  /**
   * The error's code; undefined if the attempt succeeded. `canceled` if the caller gave up, or another server was faster: the
   * attempt would have taken longer than `duration`.
   */
  readonly code?: Code;
  /** The duration of the attempt, in ms. A server that fails quickly is not a fast server: check `code` first. */
  readonly duration: number;
  /**
   * Whether the arguments or the answer were a stream. The `duration` of a stream depends on its items and does not measure
   * the speed of the server.
   *
   * @default {false}
   */
  readonly streams?: boolean;
}

/**
 * Chooses the server of each call.
 *
 * A balancer belongs to one client. Its methods are synchronous and do no I/O, since `pick` runs for every call.
 *
 * @example A custom balancer that prefers the first server of the list
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
   * Replaces the list of servers: those of the discovery, without the ejected ones. Called each time that the list changes.
   *
   * @param endpoints The complete list, each address once; it does not change afterwards
   */
  update(endpoints: readonly Endpoint[]): void;
  /**
   * Chooses a server.
   *
   * @param call The call that needs a server
   * @returns One of the servers of the last update, or `undefined` if none is acceptable
   */
  pick(call: PickContext): Endpoint | undefined;
  /**
   * Receives the outcome of an attempt. Called once for each server that `pick` returned, even if it has left the list
   * since.
   *
   * @param endpoint The server that was picked
   * @param outcome The outcome of the attempt
   */
  done?(endpoint: Endpoint, outcome: Outcome): void;
}
