// The clocks of the process by simulated time: dates, `Temporal.Now` and `performance`. Put in place by SimTime.

import type { Replacement } from "./globals.ts";

/** What `performance.now()` begins with: not 0, since a process has always run for a while. */
const ORIGIN = 1_000;

/**
 * What takes the place of the clocks.
 *
 * @param start What the date is when no simulated time has passed, in ms since 1970
 * @param passed How much has, in ms
 */
export function clocks(start: number, passed: () => number): Replacement[] {
  const date = dateOf(() => Math.floor(start + passed()));
  return [
    [globalThis, "Date", date],
    // By this, too, a date is made: `new (other.constructor)()`.
    [Date.prototype, "constructor", date],
    ...temporal(() => Math.floor(start + passed())),
    ...performanceBy(start - ORIGIN, () => ORIGIN + passed()),
  ];
}

/** `Date` with another idea of now. Still the same class to `instanceof`, and given a time it makes that. */
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

/** @param origin What `performance.timeOrigin` is, in ms since 1970 */
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
      // What is left out means now, unless it follows from the others.
      if (options.duration === undefined || options.start === undefined) options.end ??= now();
      return measure(name, options);
    }],
  ];
}
