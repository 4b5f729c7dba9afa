// Turns samples into figures and tables. Pure.

import type { Sample } from "./measure.ts";
import type { Contestant } from "./peers.ts";
import type { Workload } from "./workloads.ts";

/**
 * The measurements of one contestant in one workload: a sample per round, or the reason why it has no samples.
 */
export interface Row {
  readonly contestant: Contestant;
  readonly samples: readonly Sample[];
  /** Why it was not measured. */
  readonly missing?: string;
}

/** A median with its range. */
export interface Figure {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** The figures of a row. */
export interface Result {
  readonly peer: string;
  readonly title: string;
  readonly role: Contestant["role"];
  readonly missing?: string;
  /** In the unit of the workload. */
  readonly rate?: Figure;
  /**
   * This library's rate divided by this contestant's, round by round, because both were measured in the same
   * minute.
   */
  readonly ratio?: Figure;
  /** CPU time of both sides per call, in µs. */
  readonly cpu?: Figure;
  /** The CPU time as a multiple of this library's, round by round. */
  readonly cost?: Figure;
  /** In µs. */
  readonly p50?: Figure;
  /** In µs. */
  readonly p99?: Figure;
}

/** The figures of a workload. */
export interface Summary {
  readonly workload: string;
  readonly title: string;
  readonly unit: string;
  readonly apart: boolean;
  readonly lowerIsBetter: boolean;
  /** The share of their core that this library's processes got, where they shared one. */
  readonly share?: number;
  readonly results: readonly Result[];
}

/** A measurement with a smaller share of a core was disturbed. */
const MIN_SHARE = 0.9;

/** The median; the mean of the two middle values of an even number. NaN without values. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** The value that the given share of sorted values does not exceed. NaN without values. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN;
}

/** Summarizes values; undefined without values. */
export function figure(values: readonly (number | undefined)[]): Figure | undefined {
  const known = values.filter((value) => value !== undefined);
  if (known.length === 0) return undefined;
  return { median: median(known), least: Math.min(...known), most: Math.max(...known) };
}

/** Half of the range, in percent of the median. */
export function spread({ median, least, most }: Figure): number {
  return (most - least) / 2 / median * 100;
}

/** Summarizes a workload: this library first, then the limits, then the others, best first. */
export function summarize(workload: Workload, rows: readonly Row[]): Summary {
  const ours = rows.find(({ contestant }) => contestant.role === "ours")?.samples ?? [];
  const results = rows.map(({ contestant: { name, title, role }, samples, missing }): Result => {
    const of = (key: keyof Sample) => figure(samples.map((sample) => sample[key]));
    const rate = of("rate");
    const ratios = samples.map((sample, round) => ours[round] && ours[round].rate / sample.rate);
    const ratio = role === "ours" ? undefined : figure(ratios);
    const costs = samples.map(({ cpu }, round) => cpu && ours[round]?.cpu && cpu / ours[round].cpu);
    const cost = role === "ours" ? undefined : figure(costs);
    return {
      peer: name,
      title,
      role,
      missing,
      rate,
      ratio,
      cpu: of("cpu"),
      cost,
      p50: of("p50"),
      p99: of("p99"),
    };
  });
  const { name, title, unit, apart, lowerIsBetter } = workload;
  const order = { ours: 0, limit: 1, peer: 2 };
  const rank = ({ rate }: Result) =>
    rate === undefined ? Infinity : lowerIsBetter ? rate.median : -rate.median;
  results.sort((a, b) => order[a.role] - order[b.role] || (a.role === "limit" ? 0 : rank(a) - rank(b)));
  const share = apart ? undefined : figure(ours.map(({ share }) => share))?.median;
  return { workload: name, title, unit, apart, lowerIsBetter, share, results };
}

/** Formats a number with three significant digits and thousands separators. */
export function format(value: number): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** A Markdown table as formatted by `deno fmt`; all columns but the first are numbers. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((cell, i) => Math.max(3, cell.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]) =>
    `| ${
      cells.map((cell, i) => i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)).join(" | ")
    } |`;
  const rule = widths.map((width, i) => i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`);
  return [header, rule, ...rows].map(line).join("\n") + "\n";
}

/** Renders a workload as a heading and a table. */
export function render({ workload, title, unit, apart, lowerIsBetter, share, results }: Summary): string {
  const measured = results.filter(({ rate }) => rate !== undefined);
  const calls = measured.some(({ p50 }) => p50 !== undefined);
  const cpu = measured.some(({ cpu }) => cpu !== undefined);
  const ratioTitle = lowerIsBetter ? "this library takes" : "this library makes";
  const header = [
    "",
    unit,
    "±",
    ratioTitle,
    ...calls ? ["p50 µs", "p99 µs"] : [],
    ...cpu ? ["CPU µs", "of ours"] : [],
  ];
  const cell = (figure: Figure | undefined) => figure === undefined ? "" : format(figure.median);
  const rows = measured.map(({ title, rate, ratio, p50, p99, cpu: each, cost }) => [
    title,
    cell(rate),
    `${spread(rate!).toFixed(0)} %`,
    ratio === undefined ? "" : times(ratio),
    ...calls ? [cell(p50), cell(p99)] : [],
    ...cpu ? [cell(each), cost === undefined ? "" : times(cost)] : [],
  ]);
  const missing = results.filter(({ rate }) => rate === undefined);
  const notes = missing.map(({ title, missing }) => `${title}: ${missing}`);
  return [
    `### ${workload}: ${title} (${apart ? "a core each" : "both sides on one core"})\n`,
    table(header, rows),
    ...share !== undefined && share < MIN_SHARE ? [disturbed(share)] : [],
    ...notes.length > 0 ? [`Not measured: ${notes.join("; ")}.\n`] : [],
  ].join("\n");
}

function disturbed(share: number): string {
  return `Other processes were running: this library's processes had ${
    (share * 100).toFixed(0)
  } % of their core. ` +
    "Only the CPU time is reliable.\n";
}

/** Formats a figure such as `12.3 × (11.9–12.8)`. */
function times({ median, least, most }: Figure): string {
  return `${format(median)} × (${format(least)}–${format(most)})`;
}

/**
 * Replaces the text between two marks of a Markdown file: `<!-- name -->` and `<!-- /name -->`.
 *
 * @throws {Error} If the marks are missing
 */
export function replaceBetween(markdown: string, name: string, text: string): string {
  const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const begin = markdown.indexOf(open);
  const end = markdown.indexOf(close);
  if (begin < 0 || end < begin) throw new Error(`Cannot write tables: the file has no ${open} … ${close}`);
  return `${markdown.slice(0, begin + open.length)}\n\n${text.trim()}\n\n${markdown.slice(end)}`;
}
