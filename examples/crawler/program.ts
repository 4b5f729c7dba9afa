// deno-lint-ignore-file no-console -- the output is the programs' purpose
// Shared code of the crawler's programs: flags, output, startup and shutdown.

import { parseArgs } from "@std/cli";
import { announce, type Server } from "@troodon/rpc";

/** Prints a line of output. */
export function print(line: string): void {
  console.log(clean(line));
}

/** Prints a line to the standard error output. */
export function printError(line: string): void {
  console.error(clean(line));
}

/** Replaces control characters: lines contain text from sites, which must not manipulate the terminal. */
function clean(line: string): string {
  return line.replace(/[^\n\P{Cc}]|[\p{Cf}\p{Zl}\p{Zp}]/gu, "\ufffd");
}

/** Parsed flags. */
export class Flags {
  readonly #values: Record<string, unknown>;
  /** The arguments that are not flags. */
  readonly rest: readonly string[];

  /**
   * Parses a command line.
   *
   * @throws {Error} If a flag is unknown; the message is for the user
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
    if (value === "") throw new Error(`--${name}: expected a value`);
    return value as string | undefined;
  }

  /** A comma-separated list. */
  list(name: string): string[] {
    return this.text(name)?.split(",").map((part) => part.trim()).filter((part) => part !== "") ?? [];
  }

  number(name: string, fallback: number, min: number, max: number): number {
    const text = this.text(name);
    if (text === undefined) return fallback;
    const value = Number(text);
    if (/^[0-9]{1,9}$/.test(text) && value >= min && value <= max) return value;
    throw new Error(`--${name}: expected a whole number from ${min} to ${max}, got ${JSON.stringify(text)}`);
  }
}

/**
 * Runs a program: parses its flags and prints its usage on request. Exits with code 2 and one line if the
 * flags are invalid, with code 1 and one line if the program fails.
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
  // Idle connections to sites would keep the process alive for a while.
  Deno.exit();
}

/** Serves until the signal aborts, registered if there is a registry, then shuts down gracefully. */
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
    // The signal aborted before the registration succeeded.
    if (!stop.aborted) throw error;
    await server.shutdown();
  }
}

/** Aborts on Ctrl-C, or when a supervisor stops the program. */
export function stopSignal(): AbortSignal {
  const stop = new AbortController();
  // Windows has no SIGTERM.
  const signals: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  for (const signal of signals) Deno.addSignalListener(signal, () => stop.abort());
  return stop.signal;
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

/** Resolves after some ms, or when the signal aborts. */
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
