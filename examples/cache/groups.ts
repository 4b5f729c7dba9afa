// The groups of the program: three sources that are slow on purpose, so that one sees what the cache saves.

import { Group, type GroupOptions } from "./group.ts";

/** How long every getter takes, in ms. */
const SLOW = 300;

const SCORES: ReadonlyMap<string, number> = new Map([["Tom", 630], ["Jack", 589], ["Sam", 567]]);

/** How long a time of day is good, in ms. */
const CLOCK_TTL = 5_000;

/**
 * - `scores`: those of Tom, Jack and Sam
 * - `squares`: of any whole number
 * - `clock`: the time at which a key, whichever it is, was loaded; good for 5 seconds
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
  await new Promise((resolve) => setTimeout(resolve, SLOW));
  return value === undefined ? undefined : new TextEncoder().encode(`${value}\n`);
}
