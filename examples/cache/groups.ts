// The groups of the program: three sources that are slow on purpose, to show what the cache saves.

import { Group, type GroupOptions } from "./group.ts";

/** Duration of every getter, in ms. */
const GETTER_TIME = 300;

const SCORES: ReadonlyMap<string, number> = new Map([["Tom", 630], ["Jack", 589], ["Sam", 567]]);

/** Time to live of a time of day, in ms. */
const CLOCK_TTL = 5_000;

/**
 * Creates the groups:
 *
 * - `scores`: of Tom, Jack and Sam
 * - `squares`: of any whole number
 * - `clock`: the time at which a key, of any name, was loaded; valid for 5 seconds
 */
export function createGroups(options: GroupOptions): ReadonlyMap<string, Group> {
  const groups = [
    new Group("scores", (key) => slowly(SCORES.get(key)), options),
    new Group(
      "squares",
      (key) => slowly(/^-?[0-9]{1,500}$/.test(key) ? BigInt(key) ** 2n : undefined),
      options,
    ),
    new Group("clock", () => slowly(new Date().toISOString()), { ...options, ttl: CLOCK_TTL }),
  ];
  return new Map(groups.map((group) => [group.name, group]));
}

async function slowly(value: unknown): Promise<Uint8Array<ArrayBuffer> | undefined> {
  await new Promise((resolve) => setTimeout(resolve, GETTER_TIME));
  return value === undefined ? undefined : new TextEncoder().encode(`${value}\n`);
}
