// Formats numbers for the page.

const COUNT = new Intl.NumberFormat("en-US", { maximumFractionDigits: 3 });

/** A count, such as 12,345. */
export function count(number: number): string {
  return COUNT.format(number);
}

/** A duration given in ms, with three digits and a fitting unit. */
export function duration(ms: number): string {
  if (ms <= 0) return "0";
  if (ms < 0.9995) return `${digits(ms * 1_000)} µs`;
  if (ms < 999.5) return `${digits(ms)} ms`;
  if (ms < 59_950) return `${digits(ms / 1_000)} s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 3_600) return parts(seconds, 60, "min", "s");
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1_440) return parts(minutes, 60, "h", "min");
  return parts(Math.floor(minutes / 60), 24, "d", "h");
}

/** A size given in bytes, with a fitting unit. */
export function bytes(size: number): string {
  if (size < 1_024) return `${count(size)} B`;
  return size < 1_048_576 ? `${digits(size / 1_024)} KiB` : `${digits(size / 1_048_576)} MiB`;
}

/** The counters that are not 0, by name. */
export function listing(counts: Readonly<Record<string, number>>): string {
  const met = Object.entries(counts).filter(([, count]) => count > 0);
  return met.map(([name, number]) => `${name} ${count(number)}`).join(", ") || "none";
}

function digits(number: number): string {
  return number < 99.95 ? String(Number(number.toPrecision(3))) : COUNT.format(Math.round(number));
}

function parts(amount: number, most: number, large: string, small: string): string {
  const rest = amount % most;
  return rest === 0
    ? `${Math.floor(amount / most)} ${large}`
    : `${Math.floor(amount / most)} ${large} ${rest} ${small}`;
}
