// The frames of streams by hand, and methods whose streams are counted, for tests of what streams are on the wire.

import { assertEquals } from "@std/assert";
import type { CallContext } from "../../call/handler.ts";
import type { RpcError } from "../../call/error.ts";
import { bytes, cbor, type Frame, frame, type Item } from "./raw_peer.ts";
import { ECHO, type Services } from "./wire_harness.ts";

/** The most that a number on the wire can be. */
export const MOST = Number.MAX_SAFE_INTEGER;
/** A body that is no value. */
export const BAD = bytes(0xff);

/** Methods whose streams are counted. */
export class Feed {
  produced = 0;
  finished = 0;
  readonly taken: unknown[] = [];
  readonly failures: string[] = [];
  readonly reasons: string[] = [];
  readonly gate = Promise.withResolvers<void>();

  readonly services: Services = {
    ...ECHO,
    Feed: {
      endless: (item: unknown, { signal }: CallContext) => {
        this.#watch(signal);
        return this.#endless(item);
      },
      late: async (item: unknown) => {
        await this.gate.promise;
        return this.#endless(item);
      },
      three: () => [1, 2, 3].values(),
      collect: async (args: AsyncIterable<unknown>, { signal }: CallContext) => {
        this.#watch(signal);
        try {
          for await (const item of args) this.taken.push(item);
        } catch (error) {
          this.failures.push((error as RpcError).code);
          throw error;
        }
        return this.taken.length;
      },
      deaf: async () => {
        await this.gate.promise;
        return "heard nothing";
      },
      first: async (args: AsyncIterable<unknown>) => {
        for await (const item of args) return item;
        return undefined;
      },
    },
  };

  async *#endless(item: unknown) {
    try {
      for (;; this.produced++) yield await Promise.resolve(item);
    } finally {
      this.finished++;
    }
  }

  #watch(signal: AbortSignal): void {
    signal.addEventListener("abort", () => this.reasons.push((signal.reason as RpcError).code));
  }
}

/** A Call whose arguments follow. */
export function open(seq: number, method: string): Uint8Array {
  return frame([1, seq, method, 0]);
}

/** An Item of a value. */
export function item(seq: number, value: Item): Uint8Array {
  return frame([4, seq], cbor(value));
}

/** An End without metadata. */
export function end(seq: number): Uint8Array {
  return frame([5, seq]);
}

/** Credit for a stream. */
export function credit(seq: number, items: number, size: number): Uint8Array {
  return frame([7, seq, items, size]);
}

/** Shows that a frame is an Error of a call that was started. */
export function assertError(given: Frame | null | undefined, seq: number, code: string): void {
  assertEquals(given?.header.slice(0, 3), [3, seq, code]);
  assertEquals(given?.header.length, 4, "it was started");
}
