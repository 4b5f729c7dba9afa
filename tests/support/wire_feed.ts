// The frames of streams by hand, and methods whose streams are counted, for tests of what streams are on the wire.

import { assertEquals } from "@std/assert";
import type { CallContext } from "../../call/handler.ts";
import type { RpcError } from "../../call/error.ts";
import { headerOf } from "./frames.ts";
import { bytes, type Frame } from "./raw_peer.ts";
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

/** Shows that a frame is an Error of a call that was started. */
export function assertError(given: Frame | null | undefined, seq: number, code: string): void {
  assertEquals(given?.header.slice(0, 3), headerOf.error(seq, code));
  assertEquals(given?.header.length, 4, "it was started");
}
