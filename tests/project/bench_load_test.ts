// The load that the bench puts on a peer: what is in flight, what is counted, and that no wrong answer is.

import { assertEquals, assertRejects } from "@std/assert";
import { runLoad } from "../../bench/load.ts";
import { measure } from "../../bench/measure.ts";
import type { PeerClient } from "../../bench/peer.ts";
import { CONTESTANTS, prepare, ReadyContestant } from "../../bench/peers.ts";
import { firstByte, recordList } from "../../bench/peers/items.mjs";
import { loadOf, WORKLOADS } from "../../bench/workloads.ts";

const SHORT = { warm: 0.005, seconds: 0.02 };

/** A client that answers right. */
const right: Required<Pick<PeerClient, "sum" | "echo" | "text" | "records" | "stream">> = {
  sum: (a, b) => Promise.resolve(a + b),
  echo: (bytes) => Promise.resolve(bytes.slice()),
  text: (text) => Promise.resolve(text),
  records: (count) => Promise.resolve(recordList(count)),
  stream(count, size, take) {
    for (let i = 0; i < count; i++) take(firstByte(i), size);
    return Promise.resolve();
  },
};
/** A client whose every answer takes a turn of the event loop. */
function slowly(onCall: (change: 1 | -1) => void): PeerClient {
  return {
    async sum(a, b) {
      onCall(1);
      await new Promise((resolve) => setTimeout(resolve, 0));
      onCall(-1);
      return a + b;
    },
  };
}

Deno.test("bench load: as many calls are in flight as were asked for, on each connection", async () => {
  let inFlight = 0;
  let most = 0;
  const client = slowly((change) => most = Math.max(most, inFlight += change));
  let began = 0;
  const load = loadOf({ kind: "sum", connections: 3, outstanding: 5, ...SHORT });
  const outcome = await runLoad([client, client, client], load, () => began++);
  assertEquals([most, inFlight, began], [15, 0, 1]);
  assertEquals(outcome!.calls > 0, true);
  assertEquals(outcome!.seconds >= SHORT.seconds, true);
});

Deno.test("bench load: only calls that end in the measured time are counted, and all of them", async () => {
  let ended = 0;
  let before = 0;
  const client = slowly((change) => ended += change === -1 ? 1 : 0);
  const load = loadOf({ kind: "sum", ...SHORT });
  const outcome = await runLoad([client], load, () => before = ended);
  // The one with which the time was over may be counted or not.
  assertEquals(Math.abs(outcome!.calls - (ended - before)) <= 1, true);
  assertEquals(before > 0, true);
  // Those that begin before it or end with it are not timed.
  assertEquals(outcome!.calls - outcome!.times.total <= 2, true);
});

Deno.test("bench load: wrong answers end it", async () => {
  type Kind = "sum" | "echo" | "text" | "records" | "stream";
  const run = (client: Partial<PeerClient>, kind: Kind) => {
    const load = loadOf({ kind, outstanding: 2, bytes: 100, items: 50, ...SHORT });
    return runLoad([{ ...right, ...client }], load, () => {});
  };
  for (const kind of ["sum", "echo", "text", "records", "stream"] as const) {
    assertEquals((await run({}, kind))!.calls > 0, true, kind);
  }
  const [, second] = recordList(2);
  const wrong: [Partial<PeerClient>, Kind, string][] = [
    [{ sum: (a, b) => Promise.resolve(a > 3 ? a : a + b) }, "sum", "Wrong response: 4 + 7"],
    [{ echo: (bytes) => Promise.resolve(bytes.subarray(1)) }, "echo", "an echo differs from the request"],
    [{ echo: (bytes) => Promise.resolve(bytes.slice().fill(0, 50, 51)) }, "echo", "an echo"],
    [{ text: (text) => Promise.resolve(text.slice(1)) }, "text", "a text differs from the request"],
    [{ records: (count) => Promise.resolve(recordList(count - 1)) }, "records", "a record differs"],
    [{ records: (count) => Promise.resolve(Array(count).fill(second)) }, "records", "a record differs"],
    // Right once, then always the same.
    [{ echo: stale() }, "echo", "an echo differs from the request"],
    [
      { stream: (count, size, take) => right.stream(count - 1, size, take) },
      "stream",
      "49 items instead of 50",
    ],
    [
      { stream: (count, size, take) => right.stream(count + 1, size, take) },
      "stream",
      "51 items instead of 50",
    ],
    [{ stream: (count, size, take) => right.stream(count, size - 1, take) }, "stream", "has 99 bytes"],
    [
      {
        stream: (count, size, take) => right.stream(count, size, (first, length) => take(first + 1, length)),
      },
      "stream",
      "0 of a stream",
    ],
  ];
  for (const [client, kind, message] of wrong) {
    await assertRejects(() => run(client, kind), Error, message);
  }
});

function stale(): PeerClient["echo"] {
  let first: Uint8Array | undefined;
  return (bytes) => Promise.resolve(first ??= bytes.slice());
}

Deno.test("bench load: a workload that a peer does not support is not measured", async () => {
  const { sum } = right;
  for (const kind of ["echo", "text", "records", "stream"] as const) {
    assertEquals(await runLoad([{ sum }], loadOf({ kind, bytes: 100, items: 5 }), () => {}), undefined);
  }
});

Deno.test("bench: every workload runs against this library and the raw socket, as processes of their own", async () => {
  const cores = { shared: [], server: [], client: [] };
  for (const contestant of CONTESTANTS.filter(({ role }) => role !== "peer")) {
    const ready = await prepare(contestant, "/nowhere");
    if (!(ready instanceof ReadyContestant)) throw new Error(ready);
    for (const workload of WORKLOADS) {
      if (contestant.role === "limit" && !workload.limits.includes(contestant.name)) continue;
      const load = loadOf({ ...workload.load, warm: 0.01, seconds: 0.05 });
      const small = {
        ...load,
        connections: Math.min(load.connections, 100),
        items: Math.min(load.items, 2_000),
      };
      const sample = await measure(ready, workload, small, cores);
      const title = `${contestant.name} in ${workload.name}`;
      assertEquals(Number.isFinite(sample!.rate), true, title);
      const times = workload.load.kind !== "stream" && workload.load.kind !== "idle";
      assertEquals(sample!.p50! > 0 && sample!.p99! >= sample!.p50!, times, title);
    }
  }
});
