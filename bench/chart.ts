// Draws summaries as a self-contained SVG, readable on light and dark pages. Pure.

import { format, type Result, type Summary } from "./report.ts";

const COLUMNS = 2;
const PANEL_WIDTH = 480;
const ROW_HEIGHT = 19;
const HEAD_HEIGHT = 42;
const GAP = 22;
const LABEL_WIDTH = 172;
const BAR_WIDTH = 200;

const STYLE = `
  svg { color-scheme: light dark }
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600; font-size: 13px }
  .quiet { fill: #57606a }
  .page { fill: #ffffff }
  .ours { fill: #0b7285 }
  .peer { fill: #adb5bd }
  .limit { fill: none; stroke: #868e96; stroke-dasharray: 3 2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .quiet { fill: #9198a1 }
    .page { fill: #0d1117 }
    .ours { fill: #3bc9db }
    .peer { fill: #495057 }
  }
`;

/**
 * Draws one panel per workload.
 *
 * @param caption The measurement conditions, in a line below the panels
 */
export function drawChart(summaries: readonly Summary[], caption: string): string {
  const heights = summaries.map((summary) => HEAD_HEIGHT + bars(summary).length * ROW_HEIGHT);
  let y = GAP;
  const panels: string[] = [];
  for (let i = 0; i < summaries.length; i += COLUMNS) {
    for (const [column, summary] of summaries.slice(i, i + COLUMNS).entries()) {
      panels.push(`<g transform="translate(${GAP + column * PANEL_WIDTH} ${y})">\n${panel(summary)}\n</g>`);
    }
    y += Math.max(...heights.slice(i, i + COLUMNS)) + GAP;
  }
  const width = COLUMNS * PANEL_WIDTH + GAP;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y + GAP}" role="img">
<title>${
    escape(`This library compared with others: ${summaries.map(({ title }) => title).join("; ")}`)
  }</title>
<style>${STYLE}</style>
<rect class="page" width="100%" height="100%" rx="6"/>
${panels.join("\n")}
<text class="quiet" x="${GAP}" y="${y + 6}">${escape(caption)}</text>
</svg>
`;
}

function bars({ results }: Summary): (Result & Required<Pick<Result, "rate">>)[] {
  return results.flatMap((result) => result.rate === undefined ? [] : [{ ...result, rate: result.rate }]);
}

function panel(summary: Summary): string {
  const rows = bars(summary);
  // A limit may be ten times the others: its bar is cut off and marked.
  const others = rows.filter(({ role }) => role !== "limit");
  const maxRate = Math.max(...(others.length > 0 ? others : rows).map(({ rate }) => rate.median));
  const { workload, title, unit, apart, lowerIsBetter } = summary;
  const how = `${unit}${lowerIsBetter ? ", lower is better" : ""}; ${
    apart ? "a core each" : "both sides on one core"
  }`;
  const drawn = rows.map((row, i) => bar(row, maxRate, HEAD_HEIGHT + i * ROW_HEIGHT));
  return [
    `<text class="title" y="12">${escape(`${workload}  ${title}`)}</text>`,
    `<text class="quiet" y="29">${escape(how)}</text>`,
    ...drawn,
  ].join("\n");
}

function bar({ title, role, rate }: ReturnType<typeof bars>[number], maxRate: number, y: number): string {
  const cut = rate.median > maxRate * 1.02;
  const width = Math.max(1, Math.min(1, rate.median / maxRate) * BAR_WIDTH);
  const value = `${cut ? "▸ " : ""}${format(rate.median)}`;
  return [
    `<text x="${LABEL_WIDTH - 8}" y="${y + 12}" text-anchor="end">${escape(title)}</text>`,
    `<rect class="${role}" x="${LABEL_WIDTH}" y="${y + 2}" width="${width.toFixed(1)}" height="13" rx="2"/>`,
    `<text x="${(LABEL_WIDTH + width + 6).toFixed(1)}" y="${y + 12}">${escape(value)}</text>`,
  ].join("");
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
