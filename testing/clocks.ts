// The process's clocks in simulated time: dates, `Temporal.Now` and `performance`. Installed by SimTime.

import type { Replacement } from "./globals.ts";

/** Initial value of `performance.now()`: not 0, since a real process has always been running for a while. */
const ORIGIN = 1_000;

/**
 * Replacements of the clocks.
 *
 * @param start The date at the start of the simulation, in ms since 1970
 * @param passed Returns the simulated time that has passed, in ms
 */
export function clocks(start: number, passed: () => number): Replacement[] {
  const date = dateOf(() => Math.floor(start + passed()));
  return [
    [globalThis, "Date", date],
    // Also used to create dates: `new (other.constructor)()`.
    [Date.prototype, "constructor", date],
    ...temporal(() => Math.floor(start + passed())),
    ...performanceBy(start - ORIGIN, () => ORIGIN + passed()),
  ];
}

/** `Date` with a simulated current time. `instanceof` still works, and explicit times are unchanged. */
function dateOf(now: () => number): DateConstructor {
  return new Proxy(Date, {
    get: (target, key) => key === "now" ? now : Reflect.get(target, key),
    apply: (target) => new target(now()).toString(),
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
  });
}

function temporal(now: () => number): Replacement[] {
  if (!("Temporal" in globalThis)) return [];
  const { Now, Instant } = Temporal;
  const instant = () => Instant.fromEpochMilliseconds(now());
  const zoned = (timeZone?: Temporal.TimeZoneLike) =>
    instant().toZonedDateTimeISO(timeZone ?? Now.timeZoneId());
  return [
    [Now, "instant", instant],
    [Now, "zonedDateTimeISO", zoned],
    [Now, "plainDateTimeISO", (timeZone?: Temporal.TimeZoneLike) => zoned(timeZone).toPlainDateTime()],
    [Now, "plainDateISO", (timeZone?: Temporal.TimeZoneLike) => zoned(timeZone).toPlainDate()],
    [Now, "plainTimeISO", (timeZone?: Temporal.TimeZoneLike) => zoned(timeZone).toPlainTime()],
  ];
}

/** @param origin The value of `performance.timeOrigin`, in ms since 1970 */
function performanceBy(origin: number, now: () => number): Replacement[] {
  const mark = performance.mark.bind(performance);
  const measure = performance.measure.bind(performance);
  return [
    [performance, "now", now],
    [performance, "timeOrigin", origin],
    [performance, "mark", (name: string, options?: PerformanceMarkOptions) => {
      return mark(name, { ...options, startTime: options?.startTime ?? now() });
    }],
    [performance, "measure", (name: string, from?: string | PerformanceMeasureOptions, to?: string) => {
      const options = typeof from === "object" ? { ...from } : { start: from };
      options.end = to ?? options.end;
      // An omitted end means now, unless it follows from start and duration.
      if (options.duration === undefined || options.start === undefined) options.end ??= now();
      return measure(name, options);
    }],
  ];
}
