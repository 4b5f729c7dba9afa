// Time limits of requests that still wait for `authenticate`, or for their arguments. Owned by an Entrance. A request that
// waits for no more than a moment costs an entry in a list, not a timer.

import type { RpcError } from "../call/error.ts";
import { Alarm, AlarmClock, type Sleeper } from "../session/alarm_clock.ts";

/** How often requests are looked at, in ms, at least while there are some; the timer outlives the last one by as much. */
const INTERVAL = 1_000;

/** A request that is arriving, or being authenticated. */
export interface Arriving {
  /** When it is to have arrived, on the clock of `performance.now()`. May be moved later meanwhile. */
  readonly due: number;
  /** Its place among the requests that are awaited; set by {@linkcode Arrivals}. */
  slot: number;
  /**
   * It has not arrived in time, or the server has ended.
   *
   * @param ended Why the server accepts no more
   */
  onOverdue(ended: RpcError | undefined): void;
}

/** The requests that are arriving. */
export class Arrivals implements Sleeper {
  // Not a set: with one entry added and removed for each request, its table would be replaced every few requests.
  readonly #waiting: Arriving[] = [];
  readonly #alarm = new Alarm(this, new AlarmClock());
  #closed: RpcError | undefined;

  /** Adds a request. */
  add(request: Arriving, now: number): void {
    if (this.#closed !== undefined) return request.onOverdue(this.#closed);
    request.slot = this.#waiting.push(request) - 1;
    this.#alarm.by(Math.min(request.due, now + INTERVAL));
  }

  /** A request has arrived, or was given up. */
  delete(request: Arriving): void {
    const { slot } = request;
    if (this.#waiting[slot] !== request) return;
    const last = this.#waiting.pop()!;
    if (last === request) return;
    this.#waiting[slot] = last;
    last.slot = slot;
  }

  /** Ends the requests that have not arrived. */
  close(reason: RpcError): void {
    this.#closed ??= reason;
    this.#alarm.stop();
    for (const request of [...this.#waiting]) request.onOverdue(reason);
  }

  onAlarm(now: number): void {
    let next = Infinity;
    for (const request of [...this.#waiting]) {
      if (request.due <= now) request.onOverdue(undefined);
      else next = Math.min(next, request.due, now + INTERVAL);
    }
    this.#alarm.by(next);
  }
}
