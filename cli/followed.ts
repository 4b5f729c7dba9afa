// Follows the reports of one server for `top`: keeps the last two, and the reason while no report arrives.
// Reconnects when the server was unreachable.

import { RpcError } from "../call/error.ts";
import { Advised } from "./advice.ts";
import { sleep, SYSTEM_CLOCK } from "../discovery/clock.ts";
import type { Invocation } from "./command.ts";
import { reflected } from "./reflected.ts";
import { readStats, type Sample } from "./samples.ts";
import { callOptions } from "./target.ts";

/** A server whose reports are followed. */
export class FollowedServer {
  readonly address: string;
  /** The last report, and the one before it. */
  now: Sample | undefined;
  before: Sample | undefined;
  /** Why there is no newer report; undefined if the reports arrive. */
  trouble: string | undefined;
  /** How many reports have arrived. */
  reports = 0;
  readonly #stopping = new AbortController();

  constructor(address: string) {
    this.address = address;
  }

  /**
   * Follows the server until `stop` is called or the user interrupts.
   *
   * @param interval Time between reports, in ms
   * @param changed Called after each report and each failure
   * @throws {RpcError | Advised} If `strict` and the first report does not arrive
   */
  async follow(
    invocation: Invocation,
    { interval, strict, changed }: {
      interval: number;
      strict: boolean;
      changed: (server: FollowedServer) => Promise<void>;
    },
  ): Promise<void> {
    const signal = AbortSignal.any([invocation.signal, this.#stopping.signal]);
    while (!signal.aborted) {
      try {
        await this.#readReports({ ...invocation, signal }, interval, changed);
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

  /** Stops following. */
  stop(): void {
    this.#stopping.abort();
  }

  async #readReports(
    invocation: Invocation,
    interval: number,
    changed: (server: FollowedServer) => Promise<void>,
  ): Promise<void> {
    const options = { ...callOptions(invocation), timeout: Infinity };
    await reflected(this.address, invocation, async (client) => {
      for await (const report of client.stats({ interval }, options)) {
        const stats = readStats(report);
        if (stats === undefined) throw new RpcError("data_loss", "Cannot read the server's report");
        this.before = this.now;
        this.now = { at: performance.now(), stats };
        this.trouble = undefined;
        this.reports++;
        await changed(this);
      }
    });
  }
}
