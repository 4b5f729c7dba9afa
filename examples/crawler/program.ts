// deno-lint-ignore-file no-console -- what programs print is what they are for
// What the programs of the crawler have in common: flags, lines, and how they end.

import { parseArgs } from "@std/cli";
import { announce, type Server } from "@troodon/rpc";

/** Writes a line of output. */
export function print(line: string): void {
  console.log(clean(line));
}

/** Writes a line for whoever runs the program. */
export function printError(line: string): void {
  console.error(clean(line));
}

/** Sites and their pages have a say in lines: nothing in them may steer a terminal. */
function clean(line: string): string {
  return line.replace(/[^\n\P{Cc}]|[\p{Cf}\p{Zl}\p{Zp}]/gu, "\ufffd");
}

/** Flags by name, as text; `true` for those that take no value. */
export class Flags {
  readonly #values: Record<string, unknown>;
  /** What is not a flag. */
  readonly rest: readonly string[];

  /**
   * Reads a command line.
   *
   * @throws {Error} If a flag is unknown; the message is for whoever typed it
   */
  constructor(args: readonly string[], known: { values: readonly string[]; switches?: readonly string[] }) {
    const unknown: string[] = [];
    this.#values = parseArgs(args, {
      string: [...known.values],
      boolean: ["help", ...known.switches ?? []],
      unknown: (arg, key) => key === undefined ? undefined : void unknown.push(arg),
    });
    if (unknown.length > 0) throw new Error(`unknown argument ${unknown[0]}`);
    this.rest = (this.#values._ as unknown[]).map(String);
  }

  has(name: string): boolean {
    return this.#values[name] === true;
  }

  text(name: string): string | undefined {
    const value = this.#values[name];
    if (value === "") throw new Error(`--${name} needs a value`);
    return value as string | undefined;
  }

  /** Comma-separated. */
  list(name: string): string[] {
    return this.text(name)?.split(",").map((part) => part.trim()).filter((part) => part !== "") ?? [];
  }

  number(name: string, usual: number, min: number, max: number): number {
    const text = this.text(name);
    if (text === undefined) return usual;
    const value = Number(text);
    if (/^[0-9]{1,9}$/.test(text) && value >= min && value <= max) return value;
    throw new Error(`--${name} needs a whole number from ${min} to ${max}, not ${JSON.stringify(text)}`);
  }
}

/**
 * Runs a program: reads its flags, prints its usage if that is asked for, and ends with code 2 and one line if the
 * flags make no sense, with code 1 and one line if it fails.
 */
export async function runProgram<T>(
  name: string,
  usage: string,
  read: () => T | "help",
  run: (settings: T) => Promise<void>,
): Promise<void> {
  let settings: T | "help";
  try {
    settings = read();
  } catch (error) {
    printError(`${name}: ${(error as Error).message}; see --help`);
    Deno.exit(2);
  }
  if (settings === "help") return print(usage.trim());
  try {
    await run(settings);
  } catch (error) {
    printError(`${name}: ${(error as Error).message}`);
    Deno.exit(1);
  }
  // Idle connections to sites would keep it for a while.
  Deno.exit();
}

/** Serves until the signal aborts, on a registry's list if there is one, and ends in good order. */
export async function serveUntil(
  stop: AbortSignal,
  server: Server,
  address: string,
  service: string,
  registry?: string,
): Promise<void> {
  if (registry === undefined) {
    await aborted(stop);
    return await server.shutdown();
  }
  try {
    const registration = await announce(registry, { address, services: [service] }, {
      signal: stop,
      log: printError,
    });
    await aborted(stop);
    await registration.shutdown(server);
  } catch (error) {
    // It was told to stop before the registry was there.
    if (!stop.aborted) throw error;
    await server.shutdown();
  }
}

/** Aborts when the program is told to stop, by Ctrl-C or by a supervisor. */
export function stopSignal(): AbortSignal {
  const stop = new AbortController();
  // Windows knows no SIGTERM.
  const signals: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  for (const signal of signals) Deno.addSignalListener(signal, () => stop.abort());
  return stop.signal;
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

/** Waits for some ms, or until the signal aborts: either way without an error. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}
