// Runs a client under test as a process, controlled by lines of JSON. docs/CONFORMANCE.md describes the
// protocol.

import type { Json } from "./cbor.ts";
import { linesOf } from "./line_stream.ts";
import type { ClientControl } from "./run.ts";

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
   * @throws {Error} If the process prints nothing in time, or an invalid line
   */
  static async start(command: string): Promise<ClientProcess> {
    const process = new Deno.Command("sh", {
      args: ["-c", command],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const timer = setTimeout(() => process.kill(), START_TIMEOUT);
    const lines = linesOf(process.stdout);
    try {
      const { value = "nothing" } = await lines.next();
      return new ClientProcess(process, lines, new Set(featuresIn(value)));
    } catch (error) {
      await lines.return(undefined);
      await process.stdin.close();
      await process.status;
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  async execute(command: Readonly<Record<string, Json>>): Promise<Record<string, Json>> {
    const settled = Promise.withResolvers<Record<string, Json>>();
    this.#pending.set(command.id!, settled);
    await this.#writer.write(encoder.encode(`${JSON.stringify(command)}\n`));
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
      const { id, ...settled } = JSON.parse(line) as Record<string, Json>;
      this.#pending.get(id!)?.resolve(settled);
      this.#pending.delete(id!);
    }
    for (const { resolve } of this.#pending.values()) resolve({ error: { code: "the process has ended" } });
  }
}

function featuresIn(line: string): string[] {
  try {
    const { features } = JSON.parse(line);
    if (Array.isArray(features)) return features.map(String);
  } catch {
    // The error below covers invalid JSON, too.
  }
  throw new TypeError(
    `Cannot test client: expected {"features": […]} as the first line of its output, got ${line}`,
  );
}
