// One server that `top` looks at: its reports as they come, and why none comes. Goes on when the server is away for a
// while.

import { RpcError } from "../call/error.ts";
import { Advised } from "./advice.ts";
import { sleep, SYSTEM_CLOCK } from "../discovery/clock.ts";
import type { Invocation } from "./command.ts";
import { reflected } from "./reflected.ts";
import { readStats, type Sample } from "./samples.ts";
import { callOptions } from "./target.ts";

/** A server that is followed. */
export class Followed {
  readonly address: string;
  /** The last report, and the one before it. */
  now: Sample | undefined;
  before: Sample | undefined;
  /** Why there is no newer one; undefined if nothing is wrong. */
  trouble: string | undefined;
  /** How many reports have come. */
  reports = 0;
  readonly #stop = new AbortController();

  constructor(address: string) {
    this.address = address;
  }

  /**
   * Follows it until it is left, or the user interrupts.
   *
   * @param interval From one report to the next, in ms
   * @param changed Told of each report and each trouble
   * @throws {RpcError | Advised} Why its first report does not come, if `strict`
   */
  async follow(
    invocation: Invocation,
    { interval, strict, changed }: {
      interval: number;
      strict: boolean;
      changed: (server: Followed) => Promise<void>;
    },
  ): Promise<void> {
    const signal = AbortSignal.any([invocation.signal, this.#stop.signal]);
    while (!signal.aborted) {
      try {
        await this.#take({ ...invocation, signal }, interval, changed);
        if (!signal.aborted) this.trouble = "The server is shutting down";
      } catch (error) {
        if (signal.aborted) return;
        const trouble = error instanceof Advised ? error.error : error;
        if (strict && this.now === undefined || !(trouble instanceof RpcError)) throw error;
        this.trouble = `${trouble.code}: ${trouble.message}`;
      }
      this.before = undefined;
      if (signal.aborted) return;
      await changed(this);
      await sleep(SYSTEM_CLOCK, interval, signal);
    }
  }

  /** Follows it no more. */
  leave(): void {
    this.#stop.abort();
  }

  async #take(
    invocation: Invocation,
    interval: number,
    changed: (server: Followed) => Promise<void>,
  ): Promise<void> {
    const options = { ...callOptions(invocation), timeout: Infinity };
    await reflected(this.address, invocation, async (client) => {
      for await (const report of client.stats({ interval }, options)) {
        const stats = readStats(report);
        if (stats === undefined) throw new RpcError("data_loss", "The server's report cannot be read");
        this.before = this.now;
        this.now = { at: performance.now(), stats };
        this.trouble = undefined;
        this.reports++;
        await changed(this);
      }
    });
  }
}
