// deno-lint-ignore-file no-console -- the output is this program's purpose
// The client under test built on this library. Executes the commands of the control protocol in
// docs/CONFORMANCE.md, which `deno run -P=conformance-peer conformance/client.ts` reads from standard input.

import { type Client, connect, RpcError } from "../mod.ts";
import type { Json } from "./cbor.ts";
import { linesOf } from "./line_stream.ts";
import type { ClientControl } from "./run.ts";

type Fields = Readonly<Record<string, Json>>;

/** A client controlled by commands. */
export class OwnClient implements ClientControl {
  readonly features: ReadonlySet<string> = new Set([
    "streams",
    "callbacks",
    "json",
    "concurrent",
    "idle",
    "queue",
  ]);
  #client: Client | undefined;
  readonly #running = new Map<Json, AbortController>();

  /** Executes a command and returns its outcome. Never rejects. */
  async execute(command: Fields): Promise<Record<string, Json>> {
    const abort = new AbortController();
    if (command.id !== undefined) this.#running.set(command.id, abort);
    const items: Json[] = [];
    try {
      const result = await this.#run(command, abort.signal, items);
      return command.do === "stream" ? { items } : { result: result ?? null };
    } catch (error) {
      const { code, message, details, notStarted } = error instanceof RpcError
        ? error
        : new RpcError("unknown", String(error));
      const reported = {
        code,
        message,
        notStarted,
        ...details !== undefined && { details: details as Json },
      };
      return command.do === "stream" ? { items, error: reported } : { error: reported };
    } finally {
      if (command.id !== undefined) this.#running.delete(command.id);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client?.close();
  }

  async #run(command: Fields, signal: AbortSignal, items: Json[]): Promise<Json | void> {
    switch (command.do) {
      case "connect":
        return await this.#connect(command);
      case "close":
        return await this.#client?.close();
      case "cancel":
        return this.#running.get(command.call!)?.abort();
      case "call":
        return await this.#client!.call<Json>(
          String(command.method),
          argsOf(command),
          optionsOf(command, signal),
        );
      case "stream":
        return await this.#stream(command, signal, items);
    }
    throw new RpcError("unimplemented", `Cannot do "${command.do}"`);
  }

  async #connect({ do: _, id: __, host, port, ...options }: Fields): Promise<void> {
    await this.#client?.close();
    this.#client = undefined;
    this.#client = await connect(`tcp@${host}:${port}`, {
      ...options,
      failMode: "failfast",
      ejection: false,
      services: { Client: { echo: (value: unknown) => value } },
    });
  }

  async #stream(command: Fields, signal: AbortSignal, items: Json[]): Promise<void> {
    const { method, take = Infinity, hold } = command;
    const stream = this.#client!.stream<Json>(String(method), argsOf(command), optionsOf(command, signal));
    if (hold) {
      // Request the first item, which starts the call, and no more.
      await stream.next();
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    }
    for await (const item of stream) {
      if (items.push(item ?? null) >= Number(take)) break;
    }
  }
}

/** The arguments of a call: a value, or a stream of items. */
function argsOf({ args, items }: Fields): unknown {
  return Array.isArray(items) ? ReadableStream.from(items) : args;
}

function optionsOf({ timeout, metadata }: Fields, signal: AbortSignal) {
  return {
    signal,
    ...timeout !== undefined && { timeout: Number(timeout) },
    ...metadata !== undefined && { metadata: metadata as Record<string, string> },
  };
}

if (import.meta.main) {
  await using client = new OwnClient();
  console.log(JSON.stringify({ features: [...client.features] }));
  for await (const line of linesOf(Deno.stdin.readable)) {
    const command = JSON.parse(line);
    client.execute(command).then((settled) => console.log(JSON.stringify({ id: command.id, ...settled })));
  }
}
