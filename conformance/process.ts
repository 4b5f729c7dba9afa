// Runs a client under test as a process, controlled by lines of JSON. docs/CONFORMANCE.md describes the
// protocol.

import type { Json } from "./cbor.ts";
import { linesOf } from "./line_stream.ts";
import type { ClientControl } from "./run.ts";
import { Failure } from "./wire.ts";

/** How long a process may take to print its features, in ms. */
const START_TIMEOUT = 20_000;
const encoder = new TextEncoder();

/** A client process. */
export class ClientProcess implements ClientControl {
  readonly features: ReadonlySet<string>;
  readonly #process: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #lines: AsyncGenerator<string>;
  readonly #pending = new Map<Json, PromiseWithResolvers<Record<string, Json>>>();
  readonly #reading: Promise<void>;
  #ended: string | undefined;

  private constructor(
    process: Deno.ChildProcess,
    lines: AsyncGenerator<string>,
    features: ReadonlySet<string>,
  ) {
    this.#process = process;
    this.#writer = process.stdin.getWriter();
    this.#lines = lines;
    this.features = features;
    this.#reading = this.#read();
  }

  /**
   * Starts `command` by `sh -c`, and waits for its first line.
   *
   * @throws {TypeError} If its first line is not the features, or there is none in time
   */
  static async start(command: string): Promise<ClientProcess> {
    const process = new Deno.Command("sh", {
      args: ["-c", command],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const timer = setTimeout(() => process.kill("SIGKILL"), START_TIMEOUT);
    const lines = linesOf(process.stdout);
    try {
      const { value, done } = await lines.next();
      const features = done ? undefined : featuresIn(value);
      if (features !== undefined) return new ClientProcess(process, lines, new Set(features));
      await lines.return(undefined);
      await process.stdin.close().catch(() => {});
      const { code } = await process.status;
      const got = done ? `none: the command has ended with code ${code}` : excerptOf(value);
      throw new TypeError(
        `Cannot test client: expected {"features": […]} as the first line of its output, got ${got}`,
      );
    } finally {
      clearTimeout(timer);
    }
  }

  get ended(): string | undefined {
    return this.#ended;
  }

  async execute(command: Readonly<Record<string, Json>>): Promise<Record<string, Json>> {
    if (this.#ended !== undefined) throw new Failure(this.#ended);
    const settled = Promise.withResolvers<Record<string, Json>>();
    this.#pending.set(command.id!, settled);
    // A process that has ended is noticed by its output.
    await this.#writer.write(encoder.encode(`${JSON.stringify(command)}\n`)).catch(() => {});
    return await settled.promise;
  }

  /** Closes the input and waits for the process to exit; kills it after 2 s. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close().catch(() => {});
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), 2_000);
    await this.#process.status;
    clearTimeout(timer);
    await this.#reading;
  }

  async #read(): Promise<void> {
    for await (const line of this.#lines) {
      const { id, ...settled } = objectIn(line) ?? {};
      if (id !== undefined) {
        this.#pending.get(id)?.resolve(settled);
        this.#pending.delete(id);
        continue;
      }
      this.#fail(`expected a line of JSON with the id of an order from the client, got ${excerptOf(line)}`);
    }
    const { code } = await this.#process.status;
    this.#ended = `the client has ended with code ${code}`;
    this.#fail(this.#ended);
  }

  /** Ends all orders that have no outcome yet. */
  #fail(reason: string): void {
    for (const { reject } of this.#pending.values()) reject(new Failure(reason));
    this.#pending.clear();
  }
}

function featuresIn(line: string): string[] | undefined {
  const features = objectIn(line)?.features;
  return Array.isArray(features) ? features.map(String) : undefined;
}

function objectIn(line: string): Record<string, Json> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === "object" && value !== null) return value as Record<string, Json>;
  } catch {
    // It is not JSON.
  }
  return undefined;
}

function excerptOf(line: string): string {
  return JSON.stringify(line.length > 200 ? `${line.slice(0, 200)}…` : line);
}
