// The seam between the bench and whoever is measured. Every file in peers/ exports `serve` and `connect` of these types.

import type { Load } from "./workloads.ts";

/** Called for each item of a stream, in order. */
export type TakeItem = (firstByte: number, length: number) => void;

/** A client with a connection of its own. */
export interface PeerClient {
  /** Adds two numbers on the server. */
  sum(a: number, b: number): Promise<number>;
  /** Sends bytes there and back; absent if the peer has no way to. */
  echo?(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array>;
  /**
   * Takes a stream of `count` items of `size` bytes from the server, in the peer's own idiom; absent if it has none.
   * Items are made by peers/items.mjs.
   */
  stream?(count: number, size: number, take: TakeItem): Promise<void>;
  /**
   * Keeps calls in flight without a promise for each: what only the raw socket does. Every answer is checked here;
   * `next` is told whose call has ended and says whether that one goes on.
   */
  drive?(load: Load, next: (slot: number) => boolean): Promise<void>;
}

/** What a file in peers/ exports. */
export interface Peer {
  /** Serves on a free port of 127.0.0.1 until the process ends; returns the port. */
  serve(load: Load): Promise<number>;
  connect(port: number, load: Load): Promise<PeerClient>;
}
