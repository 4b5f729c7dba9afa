// The interface between the benchmark and a peer. Every file in peers/ exports `serve` and `connect` of these
// types.

import type { Load, Variant } from "./workloads.ts";

/** A row of a list, made by peers/items.mjs. */
export interface BenchRecord {
  readonly id: number;
  readonly name: string;
  readonly email: string;
  readonly active: boolean;
  readonly score: number;
}

/** Called for each item of a stream, in order. */
export type TakeItem = (firstByte: number, length: number) => void;

/** A client with its own connection. */
export interface PeerClient {
  /** Adds two numbers on the server. */
  sum(a: number, b: number): Promise<number>;
  /** Echoes bytes; absent if the peer does not support it. */
  echo?(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array>;
  /** Echoes a text; absent if the peer does not support it. */
  text?(text: string): Promise<string>;
  /** Receives a list of records; absent if the peer does not support it. */
  records?(count: number): Promise<readonly BenchRecord[]>;
  /**
   * Receives a stream of `count` items of `size` bytes from the server, by the peer's usual means; absent if
   * it has none. Items are made by peers/items.mjs.
   */
  stream?(count: number, size: number, take: TakeItem): Promise<void>;
  /** Sends items of `size` bytes to the server until the process ends; only peers of bench:distance have it. */
  upload?(size: number): Promise<unknown>;
  /** Returns how many items the server has received. */
  received?(): Promise<number>;
  /**
   * Keeps calls in flight without a promise for each; only the raw socket has it. It checks every response;
   * `next` is called with the slot whose call has ended and returns whether to continue it.
   */
  drive?(load: Load, next: (slot: number) => boolean): Promise<void>;
}

/** The exports of a file in peers/. */
export interface Peer {
  /** The variants of small calls that the peer offers in its usual way. */
  readonly variants?: readonly Variant[];
  /** Serves on a free port of the load's host, 127.0.0.1, until the process ends. Returns the port. */
  serve(load: Load): Promise<number>;
  connect(port: number, load: Load): Promise<PeerClient>;
}
