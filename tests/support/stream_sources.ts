// What streams are made of in tests: sources that count what becomes of them, and readers that take all of one.

import { assert } from "@std/assert";
import type { CallContext } from "../../call/handler.ts";
import { RpcError } from "../../call/error.ts";
import type { Pair } from "./session_pair.ts";
import { until } from "./waiting.ts";

/** Arguments of a method that takes a stream. */
export type Args = AsyncIterable<number>;

/** All items of a stream, and why it ended if it failed. */
export async function taken<T>(stream: AsyncIterable<T>): Promise<{ items: T[]; error?: RpcError }> {
  const items: T[] = [];
  try {
    for await (const item of stream) items.push(item);
    return { items };
  } catch (error) {
    assert(error instanceof RpcError, `${error}`);
    return { items, error };
  }
}

/** A turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** Numbers from 0, one per turn of the event loop, without end; `seen` records its events. */
export async function* ticks(seen: { produced: number; finished: number }): AsyncGenerator<number> {
  try {
    for (;;) {
      yield seen.produced++;
      await turn();
    }
  } finally {
    seen.finished++;
  }
}

/** Numbers from 0, `count` of them. */
export async function* upTo(count: number): AsyncGenerator<number> {
  for (let i = 0; i < count; i++) yield i;
}

/** An endless method, and what becomes of it. */
export class Endless {
  produced = 0;
  finished = 0;
  readonly reasons: string[] = [];

  readonly run = (_: unknown, { signal }: CallContext) => {
    signal.addEventListener("abort", () => this.reasons.push((signal.reason as RpcError).code));
    return ticks(this);
  };
}

/** Resolves when neither side has anything to do with any call. */
export function idle(pair: Pair): Promise<void> {
  return until(() => pair.idle, "nothing is left of any call");
}
