// What `rpc top` makes of a server's reports.

import { assert, assertEquals } from "@std/assert";
import { readStats, rowsOf, type Sample } from "../../cli/samples.ts";

Deno.test("cli top: rates and times are those between two reports, also after a restart of the server", () => {
  const sample = (
    at: number,
    calls: number,
    errors: number,
    mean: number,
    spans: [number, number][],
  ): Sample => {
    const latency = { mean, p50: 1, p99: 2, max: 3, count: calls, sum: mean * calls, spans };
    const idle = { ...latency, mean: 0, count: 0, sum: 0, spans: [] };
    const methods = [
      { method: "A.idle", calls: 0, errors: 0, errorCodes: {}, inFlight: 0, latency: idle },
      { method: "A.busy", calls, errors, errorCodes: {}, inFlight: 2, latency },
    ];
    return { at, stats: { connections: 1, inFlight: 0, methods } };
  };
  const early = sample(1_000, 100, 10, 1, [[1, 90], [2, 10]]);
  const [busy, idle] = rowsOf(sample(3_000, 300, 30, 2, [[1, 90], [2, 110], [4, 97], [8, 3]]), early);
  // 300 calls of 2 ms, less 100 of 1 ms, are 200 of 2.5 ms; 100 of them took 2 ms, 97 took 4, three took 8.
  const { callsPerSecond, errorsPerSecond, mean, p50, p99, inFlight } = busy!;
  assertEquals([callsPerSecond, errorsPerSecond, mean, p50, p99, inFlight], [100, 10, 2.5, 2, 8, 2]);
  assertEquals([idle!.method, idle!.callsPerSecond, idle!.mean, idle!.p50, idle!.max], [
    "A.idle",
    0,
    undefined,
    undefined,
    undefined,
  ]);
  const [fresh] = rowsOf(sample(3_000, 50, 5, 2, [[4, 50]]), early);
  assertEquals([fresh!.callsPerSecond, fresh!.errorsPerSecond, fresh!.mean, fresh!.p50], [25, 2.5, 2, 4]);
  const [first] = rowsOf(sample(3_000, 50, 5, 2, [[4, 50]]), undefined).slice(1);
  assertEquals([first!.callsPerSecond, first!.mean, first!.p99], [0, undefined, undefined]);
});

/** A report of one method: calls that were started, those of them that are answered, and how long these took in all. */
function answered(at: number, calls: number, count: number, sum: number): Sample {
  const latency = { mean: count === 0 ? 0 : sum / count, p50: 1, p99: 2, max: 1_000, count, sum, spans: [] };
  const methods = [{ method: "A.b", calls, errors: 0, errorCodes: {}, inFlight: calls - count, latency }];
  return { at, stats: { connections: 1, inFlight: calls - count, methods } };
}

Deno.test("cli top: the mean counts answered calls only", () => {
  const meanOf = (now: Sample, before: Sample) => rowsOf(now, before)[0]!.mean;
  // Ten of 10 ms before; then 90 are started, ten of which take 1 s.
  assertEquals(meanOf(answered(1_000, 100, 20, 10_100), answered(0, 10, 10, 100)), 1_000);
  // None is started, and the 80 in flight are answered.
  assertEquals(meanOf(answered(1_000, 100, 100, 90_100), answered(0, 100, 20, 10_100)), 1_000);
  // Slow ones before; then a thousand are started, ten of which take 10 ms.
  assertEquals(meanOf(answered(1_000, 1_010, 20, 10_100), answered(0, 10, 10, 10_000)), 10);
  // None is answered.
  assertEquals(meanOf(answered(1_000, 50, 10, 100), answered(0, 10, 10, 100)), undefined);
  // Restarted, with as many calls already, most of which are in flight.
  assertEquals(meanOf(answered(1_000, 20, 2, 8), answered(0, 20, 20, 2_000)), 4);
});

Deno.test("cli top: methods that are called most come first, those that were if none is called now", () => {
  const report = (at: number, ...calls: [method: string, calls: number][]): Sample => {
    const methods = calls.map(([method, calls]) => ({
      ...answered(0, calls, 0, 0).stats.methods[0]!,
      method,
    }));
    return { at, stats: { connections: 1, inFlight: 0, methods } };
  };
  const names = (now: Sample, before?: Sample) => rowsOf(now, before).map(({ method }) => method);
  const early = report(0, ["A.a", 1], ["A.b", 1], ["A.c", 900], ["A.d", 5]);
  assertEquals(names(early), ["A.c", "A.d", "A.a", "A.b"]);
  const late = report(1_000, ["A.a", 1], ["A.b", 60], ["A.c", 900], ["A.d", 7]);
  assertEquals(names(late, early), ["A.b", "A.d", "A.c", "A.a"]);
});

Deno.test("cli top: a report is taken only if all that is shown of it are numbers", () => {
  const good = answered(0, 2, 1, 5).stats;
  assert(readStats(good) === good);
  const [method] = good.methods;
  const withLatency = (latency: object) => {
    return { ...good, methods: [{ ...method!, latency: { ...method!.latency, ...latency } }] };
  };
  for (
    const bad of [
      undefined,
      null,
      7,
      { ...good, inFlight: "1" },
      { ...good, connections: NaN },
      { ...good, methods: undefined },
      { ...good, methods: [null] },
      { ...good, methods: [{ ...method!, calls: 1n }] },
      { ...good, methods: [{ ...method!, method: 1 }] },
      { ...good, methods: [{ ...method!, latency: undefined }] },
      ...["max", "count", "sum"].flatMap((figure) => [
        withLatency({ [figure]: undefined }),
        withLatency({ [figure]: "1" }),
        withLatency({ [figure]: Infinity }),
      ]),
      withLatency({ spans: {} }),
      withLatency({ spans: [1] }),
      withLatency({ spans: [[1]] }),
    ]
  ) {
    assertEquals(readStats(bad), undefined, Deno.inspect(bad, { depth: 5 }));
  }
  assert(readStats(withLatency({ spans: undefined })) !== undefined);
});
