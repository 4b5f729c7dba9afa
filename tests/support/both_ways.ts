// Calls and streams of both sides of one connection at once, for tests of transports.

import { assertEquals } from "@std/assert";
import { callOver, type Pair, type PairOptions } from "./session_pair.ts";

const ITEMS = 5_000;

/** What the two sides are made with. */
export const BOTH_WAYS: PairOptions = {
  methods: {
    *count() {
      for (let i = 0; i < ITEMS; i++) yield i;
    },
  },
  callbacks: { echo: (args: unknown) => args },
};

/** Shows that each side answers the other during a stream. */
export async function assertBothWays(pair: Pair): Promise<void> {
  const large = new Uint8Array(1_000_000).fill(5);
  const streamed = (async () => {
    let next = 0;
    for await (const i of pair.stream<number>("count")) assertEquals(i, next++);
    return next;
  })();
  const calls = Array.from(
    { length: 200 },
    (_, i) => [pair.call("echo", i), callOver(pair.accepted, "S.echo", i)],
  );
  const far = [pair.call("echo", large), callOver(pair.accepted, "S.echo", large)];
  assertEquals(await Promise.all(calls.flat()), calls.flatMap((_, i) => [i, i]));
  assertEquals(await Promise.all(far), [large, large]);
  assertEquals(await streamed, ITEMS);
}
