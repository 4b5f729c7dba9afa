// A registry's stream of server-sent events, read within bounds. Used by RegistryDiscovery.
// https://html.spec.whatwg.org/multipage/server-sent-events.html

import { RpcError } from "../call/error.ts";
import type { Clock } from "./clock.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Fetch } from "./registry_request.ts";
import { parseChange, parseServerList } from "./server_list.ts";

/** A registry shows every 5 s that it is alive: one that does not for this long, in ms, is taken for dead. */
const MAX_SILENCE = 12_000;

/** What to follow, and within which bounds. */
export interface EventsRequest {
  fetch: Fetch;
  clock: Clock;
  url: URL;
  headers: Record<string, string>;
  /** The revision that is known already. */
  after: number | undefined;
  /** How long the first byte may take, in ms. */
  timeout: number;
  /** Of one event. */
  maxBytes: number;
  /** Ends the stream, without an error. */
  signal: AbortSignal;
}

/** What a registry tells. */
export type RegistryEvent =
  /** It streams: what is known of it stays true until it says otherwise. */
  | { kind: "open" }
  | { kind: "list"; revision: number | undefined; endpoints: readonly Endpoint[] }
  | { kind: "change"; revision: number; set: readonly Endpoint[]; removed: readonly string[] };

/**
 * Follows a registry.
 *
 * @returns Once the signal has aborted, true. Else false: what is there does not stream, but may answer with a list,
 * and may have done so already
 * @throws {RpcError} `unavailable` if the registry is away or goes away
 */
export async function* registryEvents(
  request: EventsRequest,
): AsyncGenerator<RegistryEvent, boolean, undefined> {
  const { clock, signal, timeout, maxBytes } = request;
  const url = new URL(request.url);
  url.searchParams.set("watch", String(request.after ?? ""));
  const controller = new AbortController();
  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  let failure: Error | undefined;
  const stop = (error?: Error) => {
    failure ??= error;
    // The one ends the request, the other a body that has nothing to do with a request.
    controller.abort(error);
    reader?.cancel().catch(() => {});
  };
  const onAbort = () => stop();
  signal.addEventListener("abort", onAbort);
  if (signal.aborted) onAbort();
  let cancelTimer = clock.setTimer(() => stop(new Error(`no answer within ${timeout} ms`)), timeout);
  let begun = false;
  try {
    const response = await request.fetch(url.href, { headers: request.headers, signal: controller.signal });
    reader = response.body?.getReader();
    if (controller.signal.aborted) stop();
    const isStream = response.headers.get("content-type")?.startsWith("text/event-stream") ?? false;
    if (response.status === 503) throw new Error("its answer has status 503");
    if (reader === undefined || response.status !== 200) return false;
    const parser = new EventParser(maxBytes, isStream);
    for (;;) {
      const { done, value } = await reader.read();
      cancelTimer();
      if (done) break;
      if (isStream && !begun) yield { kind: "open" };
      begun = true;
      cancelTimer = clock.setTimer(
        () => stop(new Error(`no sign of life for ${MAX_SILENCE} ms`)),
        MAX_SILENCE,
      );
      for (const event of parser.push(value)) yield event;
    }
    if (!isStream && failure === undefined && !signal.aborted) {
      const event = parser.end();
      if (event !== undefined) yield event;
      return false;
    }
    if (signal.aborted) return true;
    throw failure ?? new Error("its stream has ended");
  } catch (cause) {
    if (signal.aborted) return true;
    // Something on the way may hold the stream back: the list may come all the same.
    if (reader !== undefined && !begun && failure !== undefined) return false;
    const reason = (failure ?? cause as Error).message;
    const doing = reader === undefined ? "reach" : "follow";
    throw new RpcError("unavailable", `Cannot ${doing} registry at ${request.url.href}: ${reason}`, {
      cause,
    });
  } finally {
    cancelTimer();
    signal.removeEventListener("abort", onAbort);
    stop();
  }
}

/** Cuts a stream into events; what is no stream it takes for one list. */
class EventParser {
  readonly #maxChars: number;
  readonly #isStream: boolean;
  readonly #decoder = new TextDecoder();
  #line = "";
  #name = "";
  #data = "";

  constructor(maxBytes: number, isStream: boolean) {
    this.#maxChars = maxBytes;
    this.#isStream = isStream;
  }

  *push(bytes: Uint8Array): Generator<RegistryEvent, void, undefined> {
    const [first = "", ...more] = this.#isStream
      ? this.#decoder.decode(bytes, { stream: true }).split("\n")
      : [this.#decoder.decode(bytes, { stream: true })];
    this.#line += first;
    if (this.#line.length + this.#data.length > this.#maxChars) {
      throw new Error(`an answer of its is longer than ${this.#maxChars} bytes`);
    }
    for (const line of more) {
      const event = this.#take(this.#line);
      if (event !== undefined) yield event;
      this.#line = line;
    }
  }

  /** What has come, taken for a list. */
  end(): RegistryEvent | undefined {
    return toList(this.#line + this.#decoder.decode());
  }

  #take(line: string): RegistryEvent | undefined {
    if (line !== "" && line !== "\r") {
      const [, field, value = ""] = /^([^:]*):? ?(.*?)\r?$/s.exec(line)!;
      if (field === "event") this.#name = value;
      if (field === "data") this.#data += value;
      return undefined;
    }
    const name = this.#name;
    const data = this.#data;
    this.#name = this.#data = "";
    switch (name) {
      case "list":
        return toList(data) ?? refuse(name);
      case "change": {
        const change = parseChange(data);
        return change === undefined ? refuse(name) : { kind: "change", ...change };
      }
      case "unavailable":
        throw new Error("it has lost its store");
      default:
        return undefined;
    }
  }
}

function toList(text: string): RegistryEvent | undefined {
  const list = parseServerList(text);
  return list === undefined ? undefined : { kind: "list", ...list };
}

function refuse(name: string): never {
  throw new Error(`its event ${name} is none`);
}
