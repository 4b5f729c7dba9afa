// The page's charts, as SVG: the durations of a method's calls, and how much of a call's time has passed. The style
// sheet sets their colors.

import { PER_OCTAVE } from "../call/latency.ts";
import type { LatencySummary } from "../call/method_stats.ts";
import { element, type PageElement } from "./page_tree.ts";
import { duration } from "./page_text.ts";

/** The ends, in ms, of the axis that all histograms of a page share. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

const WIDTH = 320;
const MARGIN = 22;
/** The top and bottom of the bars, and the position of the axis labels, from the top. */
const TOP = 11;
const FLOOR = 47;
const HEIGHT = 60;
/** The least height of a bar, so that one call in a million is visible. */
const LEAST = 1.5;
/** The ratio of a bucket's bounds. */
const BUCKET = 2 ** (1 / PER_OCTAVE);

/** The axis of several histograms: at least two decades of time. */
export function spanOf(latencies: readonly LatencySummary[]): Span {
  const ends = latencies.flatMap(({ spans }) => spans.map(([upTo]) => upTo));
  if (ends.length === 0) return { from: 0.01, to: 1 };
  const from = ends.reduce((a, b) => Math.min(a, b)) / BUCKET;
  const to = ends.reduce((a, b) => Math.max(a, b));
  const widen = Math.max(1, Math.sqrt(100 * from / to));
  return { from: from / widen, to: to * widen };
}

/** A histogram of durations on a logarithmic axis, with marks at p50 and p99. */
export function histogram(method: string, latency: LatencySummary, span: Span): PageElement {
  const { p50, p99, max, spans } = latency;
  const x = (ms: number) => {
    const part = Math.log(Math.max(ms, span.from) / span.from) / Math.log(span.to / span.from);
    return round(MARGIN + Math.min(part, 1) * (WIDTH - 2 * MARGIN));
  };
  const most = spans.reduce((most, [, calls]) => Math.max(most, calls), 0);
  const bars = spans.map(([upTo, calls]) => {
    const height = Math.max(LEAST, calls / most * (FLOOR - TOP));
    return `M${x(upTo / BUCKET)} ${FLOOR}V${round(FLOOR - height)}H${x(upTo)}V${FLOOR}z`;
  });
  const label =
    `Latency of ${method}: half of the calls within ${duration(p50)}, 99 of 100 within ${duration(p99)}, ` +
    `the slowest ${duration(max)}`;
  return element(
    "svg",
    { class: "histogram", role: "img", "aria-label": label, viewBox: `0 0 ${WIDTH} ${HEIGHT}` },
    axis(span, x),
    element("path", { class: "bars", d: bars.join("") }),
    mark("p50", x(p50), "end"),
    mark("p99", x(p99), "start"),
  );
}

/** The share of a call's time that has passed. */
export function elapsed(age: number, timeLeft: number): PageElement {
  const part = Math.min(1, age / Math.max(age + timeLeft, 1));
  return element(
    "svg",
    { class: "elapsed", "aria-hidden": "true", viewBox: "0 0 60 6" },
    element("rect", { class: "all", width: 60, height: 6, rx: 3 }),
    element("rect", { class: part > 0.8 ? "late" : "part", width: round(60 * part), height: 6, rx: 3 }),
  );
}

function axis({ from, to }: Span, x: (ms: number) => number): PageElement[] {
  const first = Math.ceil(Math.log10(from) - 1e-9);
  const decades = Math.floor(Math.log10(to) + 1e-9) - first;
  const ticks = Array.from(
    { length: decades + 1 },
    (_, decade) => ({ decade, at: x(10 ** (first + decade)) }),
  );
  // No more labels than fit.
  const step = Math.ceil((decades + 1) / 7);
  return [
    element("path", {
      class: "grid",
      d: `${ticks.map(({ at }) => `M${at} ${TOP}V${FLOOR + 2}`).join("")}M${MARGIN} ${FLOOR}H${
        WIDTH - MARGIN
      }`,
    }),
    ...ticks.filter(({ decade }) => decade % step === 0).map(({ decade, at }) =>
      element("text", { x: at, y: HEIGHT - 2, "text-anchor": "middle" }, duration(10 ** (first + decade)))
    ),
  ];
}

function mark(name: string, at: number, anchor: "start" | "end"): PageElement[] {
  const beside = anchor === "end" ? at - 2 : at + 2;
  return [
    element("path", { class: name, d: `M${at} 2V${FLOOR}` }),
    element("text", { class: name, x: round(beside), y: 8, "text-anchor": anchor }, name),
  ];
}

function round(number: number): number {
  return Math.round(number * 10) / 10;
}
