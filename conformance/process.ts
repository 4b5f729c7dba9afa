// A client under test that is a process of its own, told what to do in lines of JSON. The protocol is described in
// docs/CONFORMANCE.md.

import type { Json } from "./cbor.ts";
import { linesOf } from "./line_stream.ts";
import type { ClientControl } from "./run.ts";

/** How long a process may take to say what it has, in ms. */
const START = 20_000;
const encoder = new TextEncoder();

/** A process that does what it is told. */
export class ClientProcess implements ClientControl {
  readonly features: ReadonlySet<string>;
  readonly #process: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #lines: AsyncGenerator<string>;
  readonly #waiting = new Map<Json, PromiseWithResolvers<Record<string, Json>>>();
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
   * @throws {Error} If it says nothing in time, or something else
   */
  static async start(command: string): Promise<ClientProcess> {
    const process = new Deno.Command("sh", {
      args: ["-c", command],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const late = setTimeout(() => process.kill(), START);
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
      clearTimeout(late);
    }
  }

  async tell(command: Readonly<Record<string, Json>>): Promise<Record<string, Json>> {
    const settled = Promise.withResolvers<Record<string, Json>>();
    this.#waiting.set(command.id!, settled);
    await this.#writer.write(encoder.encode(`${JSON.stringify(command)}\n`));
    return await settled.promise;
  }

  /** Ends its input, and waits for its end; who does not end is killed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close().catch(() => {});
    const late = setTimeout(() => this.#process.kill("SIGKILL"), 2_000);
    await this.#process.status;
    clearTimeout(late);
    await this.#reading;
  }

  async #read(): Promise<void> {
    for await (const line of this.#lines) {
      const { id, ...settled } = JSON.parse(line) as Record<string, Json>;
      this.#waiting.get(id!)?.resolve(settled);
      this.#waiting.delete(id!);
    }
    for (const { resolve } of this.#waiting.values()) resolve({ error: { code: "the process has ended" } });
  }
}

function featuresIn(line: string): string[] {
  try {
    const { features } = JSON.parse(line);
    if (Array.isArray(features)) return features.map(String);
  } catch {
    // Said below.
  }
  throw new TypeError(`Cannot test client: expected {"features": […]} as its first line, got ${line}`);
}
