// How long a server keeps a connection: what its handshake says of that, and when the connection has to end. Enforced by the
// sessions of servers; clients open the next connection before.

import { jitter } from "../discovery/backoff.ts";

/** How far the limits of one connection differ from those that are set, so that many connections do not end together. */
const JITTER = 0.1;
/** An idle connection is looked at so many times within its limit. */
const CHECKS = 4;

/** How long a connection is kept, in ms; Infinity = no limit. */
export interface Lifetime {
  /** From its handshake on. */
  readonly maxAge: number;
  /** While no call is in flight. */
  readonly maxIdle: number;
}

/** The limits of one connection, ±10 %, in whole ms. */
export function jittered({ maxAge, maxIdle }: Lifetime): Lifetime {
  return { maxAge: vary(maxAge), maxIdle: vary(maxIdle) };
}

function vary(limit: number): number {
  return limit === Infinity ? Infinity : Math.max(1, Math.round(jitter(limit, JITTER, Math.random)));
}

/** The lifetime of one connection, checked by its session's alarm. Times are ms on the clock of `performance.now()`. */
export class LifetimeCheck {
  readonly #maxIdle: number;
  readonly #endsAt: number;
  /** When the connection was last seen to be in use. */
  #usedAt: number;
  #calls = 0;

  constructor({ maxAge, maxIdle }: Lifetime, openedAt: number) {
    this.#maxIdle = maxIdle;
    this.#endsAt = openedAt + maxAge;
    this.#usedAt = openedAt;
  }

  /**
   * Checks the connection. That it is idle is noticed up to a quarter of `maxIdle` late: calls are not slowed down for it.
   *
   * @param calls The calls so far
   * @param busy Whether one of them is in flight
   * @returns When to check again; -Infinity if the connection has to end
   */
  check(now: number, calls: number, busy: boolean): number {
    if (busy || calls !== this.#calls) this.#usedAt = now;
    this.#calls = calls;
    if (now >= this.#endsAt || now - this.#usedAt >= this.#maxIdle) return -Infinity;
    return Math.min(this.#endsAt, now + this.#maxIdle / CHECKS);
  }
}
