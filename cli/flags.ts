// Parses the flags and operands of a command. Not based on @std/cli, whose parseArgs takes a negative number
// for a flag, and an empty value for a missing one.

import { nearest } from "../call/nearest.ts";
import { UsageError } from "./usage_error.ts";

/** A flag of a command. */
export interface Flag {
  /** Its name, without the dashes. */
  readonly name: string;
  /**
   * Placeholder of its value in the help, such as `MS`; `FILE` is completed as a path. Omitted: the flag
   * takes no value.
   */
  readonly value?: string;
  /** One line of help. */
  readonly help: string;
  /** Possible values, for the completions. */
  readonly choices?: readonly string[];
}

const UNITS: ReadonlyMap<string, number> = new Map(
  Object.entries({ "": 1, ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }),
);

/** The parsed flags. */
export class Flags {
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(values: ReadonlyMap<string, readonly string[]>) {
    this.#values = values;
  }

  /** Whether the flag was given. */
  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** The value of a flag, the last one if it was given several times; undefined if it was not longName. */
  text(name: string): string | undefined {
    return this.all(name).at(-1);
  }

  /** All values of a flag that may be given several times. */
  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  /**
   * Reads a flag as a whole number.
   *
   * @param or Another accepted value, for the message
   * @throws {UsageError} If it is not a whole number, or out of its range
   */
  count(name: string, fallback: number, min: number, max: number, or = ""): number {
    const text = this.text(name);
    if (text === undefined) return fallback;
    const value = Number(text);
    if (/^[0-9]{1,9}$/.test(text) && value >= min && value <= max) return value;
    throw new UsageError(
      `--${name}: expected a whole number from ${min} to ${max}${or}, got ${JSON.stringify(text)}`,
    );
  }

  /**
   * Reads a flag as a whole number, or `none` for no limit.
   *
   * @throws {UsageError} If it is neither
   */
  countOrNone(name: string, fallback: number, max: number): number {
    if (this.text(name) === "none") return Infinity;
    return this.count(name, fallback, 1, max, ", or none");
  }

  /**
   * Reads a flag as a duration, in ms: `500`, `500ms`, `2s`, `1m`, `1h`.
   *
   * @param min The minimum, in ms
   * @throws {UsageError} If it is not a duration, or too short
   */
  duration(name: string, fallback: number, min = 1): number {
    const text = this.text(name);
    if (text === undefined) return fallback;
    const [, number, unit = ""] = /^([0-9]{1,9}(?:\.[0-9]+)?)(ms|s|m|h)?$/.exec(text) ?? [];
    const value = Number(number) * UNITS.get(unit)!;
    if (number !== undefined && value >= min && value < 2 ** 31) return value;
    const atLeast = min > 0 ? `, of at least ${min} ms` : "";
    throw new UsageError(
      `--${name}: expected a duration such as 500 (ms), 500ms, 2s or 1m${atLeast}, got ${
        JSON.stringify(text)
      }`,
    );
  }
}

/**
 * Parses the arguments of a command. `--` ends the flags; `-` and negative numbers are operands.
 *
 * @throws {UsageError} If a flag is unknown, lacks its value, or has a value but takes none
 */
export function readArgs(
  args: readonly string[],
  known: readonly Flag[],
): { operands: string[]; flags: Flags } {
  const operands: string[] = [];
  const values = new Map<string, string[]>();
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === "--") {
      operands.push(...args.slice(i + 1));
      break;
    }
    if (!arg.startsWith("-") || arg === "-" || /^-[0-9.]/.test(arg)) {
      operands.push(arg);
      continue;
    }
    const [, longName = "", attached] = /^-(?:-([^=]*)(?:=([^]*))?)?/.exec(arg)!;
    const name = arg === "-h" ? "help" : longName;
    const flag = known.find((flag) => flag.name === name);
    if (flag === undefined) throw unknownFlag(arg, known);
    if (flag.value === undefined && attached !== undefined) throw new UsageError(`--${name} takes no value`);
    const value = flag.value === undefined ? "" : attached ?? args[++i];
    if (value === undefined) throw new UsageError(`--${name} needs a value: --${name} ${flag.value}`);
    values.set(name, [...values.get(name) ?? [], value]);
  }
  return { operands, flags: new Flags(values) };
}

function unknownFlag(arg: string, known: readonly Flag[]): UsageError {
  const [name = ""] = arg.replace(/^-+/, "").split("=");
  const close = nearest(name, known.map((flag) => flag.name));
  return new UsageError(`unknown flag ${arg}${close === undefined ? "" : `; did you mean --${close}?`}`);
}
