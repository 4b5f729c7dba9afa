// Many and large calls over one connection: none is lost, none waits forever, and memory stays bounded.

import { assert, assertEquals, assertLess } from "@std/assert";
import { callOver, fails, testSession } from "../support/session_pair.ts";
import { soon, until } from "../support/waiting.ts";

function bytes(length: number, seed: number): Uint8Array {
  return new Uint8Array(length).fill(seed & 0xff);
}

function assertBytes(value: unknown, length: number, seed: number): void {
  assert(value instanceof Uint8Array && value.length === length, `expected ${length} bytes`);
  assert(
    value[0] === (seed & 0xff) && value[length - 1] === (seed & 0xff) && value.indexOf(~seed & 0xff) < 0,
  );
}

testSession("200 calls of 270 KB at once, answered with 314 KB each, are all answered", async (open) => {
  await using pair = await open({
    methods: {
      large: (args: Uint8Array) => bytes(314_159, args[0]!),
      later: async (args: Uint8Array) => {
        await null;
        return bytes(314_159, args[0]!);
      },
    },
  });
  const before = Deno.memoryUsage().rss;
  let most = before;
  await Promise.all(Array.from({ length: 200 }, async (_, n) => {
    assertBytes(await pair.call(n % 2 ? "large" : "later", bytes(271_828, n)), 314_159, n);
    most = Math.max(most, Deno.memoryUsage().rss);
  }));
  // What waits to be sent is bounded on either side; the arguments alone are 54 MB.
  assertLess((most - before) / 1_048_576, 400);
});

testSession(
  "small calls with large answers do not lock up with large calls that wait to be sent",
  async (open) => {
    await using pair = await open({
      methods: { grow: (args: Uint8Array) => bytes(1_000_000, args[0]!) },
      limits: { maxUnsentBytes: 1_000_000 },
    });
    const calls = Promise.all(Array.from({ length: 150 }, async (_, n) => {
      assertBytes(await pair.call("grow", bytes(100_000, n)), 1_000_000, n);
    }));
    await soon(calls, "all answers");
  },
);

testSession("large calls both ways at once are all answered", async (open) => {
  const echo = (args: unknown) => args;
  await using pair = await open({ methods: { echo }, callbacks: { echo } });
  await Promise.all(Array.from({ length: 20 }, async (_, n) => {
    const [there, back] = await Promise.all([
      pair.call("echo", bytes(150_000, n)),
      callOver(pair.accepted, "S.echo", bytes(150_000, n)),
    ]);
    assertBytes(there, 150_000, n);
    assertBytes(back, 150_000, n);
  }));
});

testSession("sizes around the borders of lengths and buffers arrive whole", async (open) => {
  await using pair = await open({ limits: { maxFrameBytes: 1_000_000 } });
  const sizes = [0, 1, 23, 24, 255, 256, 1_023, 1_024, 65_535, 65_536, 131_071, 131_072, 999_900];
  const results = await Promise.all(sizes.map((size) => pair.call("echo", bytes(size, size))));
  for (const [i, size] of sizes.entries()) {
    if (size > 0) assertBytes(results[i], size, size);
    else assertEquals(results[i], new Uint8Array(0));
  }
  await fails(pair.call("echo", bytes(1_000_000, 1)), "resource_exhausted");
  assertEquals(await pair.call("echo", "alive"), "alive");
});

testSession("an argument that a handler keeps is not overwritten by what comes after it", async (open) => {
  const gate = Promise.withResolvers<void>();
  await using pair = await open({
    methods: {
      keep: async (args: unknown) => {
        await gate.promise;
        return args;
      },
      open: () => gate.resolve(),
    },
  });
  const kept = { bytes: bytes(10_000, 7), text: "kept".repeat(1_000), list: [bytes(3, 1)] };
  const call = pair.call("keep", kept);
  await Promise.all(Array.from({ length: 1_000 }, (_, n) => pair.call("echo", bytes(1_000, n))));
  await pair.call("open");
  assertEquals(await call, kept);
});

testSession(
  "calls above the announced limit wait and are all answered; all slots are freed",
  async (open) => {
    let running = 0, most = 0;
    await using pair = await open({
      methods: {
        work: async (n: number) => {
          most = Math.max(most, ++running);
          await new Promise((resolve) => setTimeout(resolve, 1));
          running--;
          return n;
        },
      },
      limits: { maxInFlight: 20 },
    });
    for (let round = 0; round < 3; round++) {
      const results = await Promise.all(Array.from({ length: 200 }, (_, n) => pair.call("work", n)));
      assertEquals(results, Array.from({ length: 200 }, (_, n) => n));
    }
    assertEquals({ most, running }, { most: 20, running: 0 });
  },
);

testSession(
  "a side that does not know the limit is refused above it; all slots are freed",
  async (open) => {
    const gate = Promise.withResolvers<string>();
    await using pair = await open({ callbacks: { hold: () => gate.promise }, limits: { maxInFlight: 16 } });
    // Calls that were canceled hold their places until their handlers have returned.
    const stop = new AbortController();
    const { signal } = stop;
    const canceled = Array.from({ length: 16 }, () => callOver(pair.accepted, "S.hold", null, { signal }));
    await until(() => pair.dialled.running === 16, "as many run as may");
    stop.abort();
    await Promise.all(canceled.map((call) => fails(call, "canceled")));
    const refused = await Promise.all(
      Array.from({ length: 100 }, () => {
        return fails(callOver(pair.accepted, "S.hold"), "resource_exhausted", "in flight");
      }),
    );
    assert(refused.every(({ remote }) => remote), "refused by the other side");
    gate.resolve("held");
    await until(() => pair.dialled.running === 0, "the handlers return");
    const calls = Array.from({ length: 16 }, () => callOver(pair.accepted, "S.hold"));
    assertEquals(await Promise.all(calls), Array(16).fill("held"));
  },
);

testSession("10 000 waiting calls that cannot be encoded fail one by one", async (open) => {
  const gate = Promise.withResolvers<void>();
  await using pair = await open({ methods: { hold: () => gate.promise }, limits: { maxInFlight: 16 } });
  const held = Array.from({ length: 16 }, () => pair.call("hold"));
  const bad = Array.from({ length: 10_000 }, () => pair.call("echo", () => 1));
  const failing = Promise.all(bad.map((call) => fails(call, "invalid_argument")));
  const good = pair.call("echo", "good");
  gate.resolve();
  await Promise.all(held);
  await failing;
  assertEquals(await good, "good");
});
