// What the bench makes of its samples: quantiles, ratios, tables, the chart.

import { assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { drawChart } from "../../bench/chart.ts";
import { readFlags } from "../../bench/flags.ts";
import { Histogram } from "../../bench/histogram.ts";
import type { Contestant } from "../../bench/peers.ts";
import { parseCores } from "../../bench/process.ts";
import {
  figure,
  format,
  median,
  render,
  replaceBetween,
  type Row,
  spread,
  summarize,
  table,
} from "../../bench/report.ts";
import { WORKLOADS } from "../../bench/workloads.ts";

Deno.test("bench histogram: quantiles are those of the sorted times, up to 3.2 % above", () => {
  const times = Array.from({ length: 20_000 }, (_, i) => 0.1 + (i * 7_919 % 20_000) ** 2 / 1_000);
  const histogram = new Histogram();
  for (const time of times) histogram.add(time);
  times.sort((a, b) => a - b);
  for (const share of [0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1]) {
    const exact = times[Math.ceil(share * times.length) - 1]!;
    const got = histogram.quantile(share);
    // Below 3.2 µs the resolution is a tenth.
    const error = Math.max(exact * 0.032, 0.1);
    assertEquals(got >= exact - 1e-9 && got <= exact + error, true, `${share}: ${got} for ${exact}`);
  }
  assertEquals(histogram.total, times.length);
  assertEquals(histogram.max, times.at(-1));
});

Deno.test("bench histogram: nothing, nought, and more than it can hold", () => {
  const histogram = new Histogram();
  assertEquals(histogram.quantile(0.5), NaN);
  histogram.add(0);
  assertEquals(histogram.quantile(1), 0);
  histogram.add(1e12);
  assertEquals(histogram.quantile(1) > 2e8, true);
  assertEquals(histogram.max, 1e12);
});

Deno.test("bench report: median, spread and figure", () => {
  assertEquals([median([3, 1, 2]), median([4, 1, 2, 3]), median([7])], [2, 2.5, 7]);
  assertEquals(median([]), NaN);
  assertEquals(figure([undefined, 90, 110, 100]), { median: 100, least: 90, most: 110 });
  assertEquals(figure([undefined]), undefined);
  assertEquals(spread({ median: 100, least: 90, most: 110 }), 10);
});

const peer = (name: string, role: Contestant["role"]): Contestant => ({
  name,
  role,
  title: `<${name}>`,
  file: "",
});
const rows: Row[] = [
  { contestant: peer("slow", "peer"), samples: [{ rate: 5 }, { rate: 4 }, { rate: 10 }] },
  { contestant: peer("fast", "peer"), samples: [{ rate: 50 }, { rate: 40 }, { rate: 100 }] },
  { contestant: peer("none", "peer"), samples: [], missing: "not supported" },
  {
    contestant: peer("socket", "limit"),
    samples: [{ rate: 400, cpu: 1.5 }, { rate: 320 }, { rate: 500, cpu: 4 }],
  },
  {
    contestant: peer("mine", "ours"),
    samples: [{ rate: 100, p50: 1, p99: 2, cpu: 3, share: 0.8 }, {
      rate: 80,
      p50: 3,
      p99: 4,
      cpu: 5,
      share: 0.5,
    }, {
      rate: 250,
      p50: 2,
      p99: 9,
      cpu: 4,
      share: 0.7,
    }],
  },
];

Deno.test("bench report: ratios are taken round by round, so that a slow round is slow for everyone", () => {
  const { results } = summarize(WORKLOADS[0]!, rows);
  assertEquals(results.map(({ peer }) => peer), ["mine", "socket", "fast", "slow", "none"]);
  const [mine, socket, fast, , none] = results;
  assertEquals(mine!.ratio, undefined);
  assertEquals(mine!.p99, { median: 4, least: 2, most: 9 });
  assertEquals(socket!.ratio, { median: 0.25, least: 0.25, most: 0.5 });
  assertEquals(socket!.cost, { median: 0.75, least: 0.5, most: 1 });
  assertEquals(fast!.ratio, { median: 2, least: 2, most: 2.5 });
  assertEquals([none!.rate, none!.missing], [undefined, "not supported"]);
});

Deno.test("bench report: where less is better, the best one is the one with least", () => {
  const memory = WORKLOADS.find(({ lowerIsBetter }) => lowerIsBetter)!;
  assertEquals(summarize(memory, rows).results.map(({ peer }) => peer), [
    "mine",
    "socket",
    "slow",
    "fast",
    "none",
  ]);
});

Deno.test("bench report: tables", () => {
  assertEquals([1_234_567.8, 99.95, 5.678, 0.123].map(format), ["1,234,568", "100.0", "5.68", "0.12"]);
  assertEquals(
    table(["", "calls"], [["a", "1"], ["long", "1,000,000"]]),
    `|      |     calls |
| ---- | --------: |
| a    |         1 |
| long | 1,000,000 |
`,
  );
  const text = render(summarize(WORKLOADS[0]!, rows));
  assertMatch(text, /^### W1: One call in flight \(both sides on one core\)$/m);
  assertMatch(text, /^\| <mine> {3}\| +100 \| 85 % \| +\| +2\.00 \| +4\.00 \| +4\.00 \| +\|$/m);
  assertMatch(text, /^\| <fast> .* 2\.00 × \(2\.00–2\.50\) \|/m);
  assertStringIncludes(
    text,
    "Other processes were running: this library's processes had 70 % of their core.",
  );
  assertStringIncludes(text, "Not measured: <none>: not supported.");
});

Deno.test("bench report: tables go between their marks, and nowhere else", () => {
  const page = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n";
  const replaced = replaceBetween(page, "x", "new\n");
  assertEquals(replaced, "a\n<!-- x -->\n\nnew\n\n<!-- /x -->\nb\n");
  assertEquals(replaceBetween(replaced, "x", "new"), replaced);
  assertThrows(() => replaceBetween(page, "y", "new"), Error, "the file has no <!-- y -->");
});

Deno.test("bench chart: text is escaped, both colour schemes are there, bars are to scale", () => {
  const svg = drawChart([summarize(WORKLOADS[0]!, rows), summarize(WORKLOADS[1]!, rows)], 'by "A & B"');
  assertMatch(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" viewBox="0 0 \d+ \d+"/);
  assertStringIncludes(svg, ">&#60;mine&#62;<");
  assertStringIncludes(svg, "by &#34;A &#38; B&#34;");
  assertEquals(svg.includes("<mine>"), false);
  assertEquals(/&(?!#\d+;)/.test(svg), false);
  assertStringIncludes(svg, "prefers-color-scheme: dark");
  // Nothing is fetched from elsewhere.
  assertEquals(svg.replace("http://www.w3.org/2000/svg", "").includes("//"), false);
  const open = [...svg.matchAll(/<(\w+)(?:\s[^>]*[^/>])?>/g)].map(([, name]) => name).sort();
  const closed = [...svg.matchAll(/<\/(\w+)>/g)].map(([, name]) => name).sort();
  assertEquals(open, closed);
  const widths = (role: string) =>
    [...svg.matchAll(new RegExp(`<rect class="${role}" [^>]*width="([\\d.]+)"`, "g"))].map(([, w]) =>
      Number(w)
    );
  const [ours] = widths("ours");
  const [fast, slow] = widths("peer");
  assertEquals([fast, slow], [ours! * 0.5, ours! * 0.05]);
  // The limit is four times as far away: its bar is cut, and says so.
  assertEquals(widths("limit")[0], ours);
  assertStringIncludes(svg, "▸ 400");
});

Deno.test("bench flags: defaults, choices, and what is refused", () => {
  const { rounds, workloads, contestants } = readFlags([]);
  assertEquals([rounds, workloads.length], [3, 12]);
  assertEquals(contestants.some(({ name }) => name === "orpc"), false);
  const chosen = readFlags([
    "--workloads",
    "W2,W1",
    "--peers",
    "go, orpc",
    "--rounds",
    "1",
    "--seconds",
    "0.1",
  ]);
  assertEquals(chosen.workloads.map(({ name }) => name), ["W1", "W2"]);
  assertEquals(chosen.contestants.map(({ name }) => name), [
    "socket",
    "socket-promise",
    "troodon",
    "go",
    "orpc",
  ]);
  assertEquals([chosen.rounds, chosen.seconds], [1, 0.1]);
  assertEquals(readFlags(["--peers", "none"]).contestants.length, 3);
  assertThrows(
    () => readFlags(["--peers", "gopher"]),
    Error,
    "--peers: unknown gopher, expected some of troodon-ws, go, birpc",
  );
  assertThrows(() => readFlags(["--workloads", "W13"]), Error, "--workloads: unknown W13");
  assertThrows(
    () => readFlags(["--rounds", "x"]),
    Error,
    '--rounds: expected a number from 1 to 1000, got "x"',
  );
  assertThrows(() => readFlags(["--rounds", "1.5"]), Error, "--rounds: expected a whole number");
  assertThrows(() => readFlags(["--json"]), Error, "--json: expected a value");
  assertThrows(() => readFlags(["--verbose"]), Error, "unknown argument --verbose");
});

Deno.test("bench processes: the list of cores", () => {
  assertEquals(parseCores("0,2-4,7"), [0, 2, 3, 4, 7]);
  assertEquals(parseCores("5"), [5]);
  assertEquals(parseCores("all of them"), []);
});
