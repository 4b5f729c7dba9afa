// Writes Prometheus's text format 0.0.4: families of samples and their labels.
// https://prometheus.io/docs/instrumenting/exposition_formats/

/** The media type of the text. */
export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** A sample: the labels after the metric's name, in braces, or nothing; and the value. */
export type Sample = readonly [labels: string, value: number];

/** A metric with its samples. */
export function family(
  name: string,
  type: "counter" | "gauge",
  help: string,
  samples: readonly Sample[],
): string {
  return head(name, type, help) + samples.map(([labels, value]) => line(name, labels, value)).join("");
}

/** The lines before the samples of a metric. */
export function head(name: string, type: string, help: string): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
}

/** One sample. */
export function line(name: string, labels: string, value: number): string {
  return `${name}${labels} ${value}\n`;
}

/** Labels in braces. */
export function labels(pairs: Readonly<Record<string, string>>): string {
  return `{${Object.entries(pairs).map(([name, value]) => pair(name, value)).join(",")}}`;
}

/** One label. */
export function pair(label: string, value: string): string {
  return `${label}="${escape(value)}"`;
}

/** A sample for each of several counts, by name. */
export function labelled(
  label: string,
  counts: Readonly<Record<string, number>>,
  more: Readonly<Record<string, string>> = {},
): Sample[] {
  return Object.entries(counts).map((
    [name, times],
  ) => [labels({ ...more, [label]: snakeCase(name) }), times]);
}

function escape(text: string): string {
  return text.replace(/[\\"\n]/g, (character) => character === "\n" ? "\\n" : `\\${character}`);
}

/** Converts a name to Prometheus's style: `maxConnections` becomes max_connections. */
function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
