// Latency histograms: of the methods of servers, and of what the command line measures.

import { assert, assertEquals } from "@std/assert";
import { Latency, PER_OCTAVE, quantile } from "../../call/latency.ts";

for (const [perOctave, within] of [[64, 1.011], [PER_OCTAVE, 1.15]] as const) {
  Deno.test(`latency: percentiles are those of the sorted durations, up to ${within} times`, () => {
    const latency = new Latency(perOctave);
    assertEquals([latency.percentile(50), latency.max, latency.mean], [0, 0, 0]);
    for (let i = 1; i <= 10_000; i++) latency.record(i / 100, 1);
    for (const percent of [1, 50, 90, 99, 100]) {
      const found = latency.percentile(percent);
      assert(found >= percent && found <= percent * within, `${percent}: ${found}`);
    }
    assertEquals([latency.max, latency.count], [100, 10_000]);
    assert(Math.abs(latency.mean - 50.005) < 1e-9);
    const { p50, p99, max, mean, count, sum } = latency.summary();
    assertEquals([p50, p99, max], [latency.percentile(50), latency.percentile(99), 100]);
    assertEquals([mean, count], [sum / count, 10_000]);
    // What is shorter than all spans, and what is longer.
    latency.record(0, 1);
    latency.record(1e9, 1);
    assertEquals([latency.percentile(0.001) <= 0.001, latency.percentile(100)], [true, 1e9]);
    const { spans } = latency.summary();
    assertEquals([spans.at(0), spans.at(-1)], [[0.001, 1], [1e9, 1]]);
    assertEquals(spans.reduce((sum, [, calls]) => sum + calls, 0), 10_002);
  });
}

Deno.test("latency: the last of its spans is reached at four hours, and ends with the longest", () => {
  const latency = new Latency();
  latency.record(3_600_000, 1);
  latency.record(5 * 3_600_000, 2);
  latency.record(9 * 3_600_000, 3);
  const { spans, p99 } = latency.summary();
  assertEquals(spans.map(([, calls]) => calls), [1, 5]);
  assertEquals([spans[1]![0], p99], [9 * 3_600_000, 9 * 3_600_000]);
});

Deno.test("latency: a quantile is the end of the span that completes the share; undefined of nothing", () => {
  assertEquals(quantile([], 0.5), undefined);
  assertEquals(quantile([[1, 0], [2, 0]], 0.5), undefined);
  const spans = [[1, 0], [2, 1], [4, 1], [8, 2]] as const;
  assertEquals([0.25, 0.26, 0.5, 0.51, 1].map((share) => quantile(spans, share)), [2, 4, 4, 8, 8]);
});
