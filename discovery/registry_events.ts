// Reads a registry's stream of server-sent events within limits. Used by RegistryDiscovery.
// https://html.spec.whatwg.org/multipage/server-sent-events.html

import { RpcError } from "../call/error.ts";
import type { Clock } from "./clock.ts";
import { type Fetch, firstRevisionOf, type RegistryToken, tokenHeaders } from "./registry_request.ts";
import { parseChange, parseServerList, type ServerChange, type ServerList } from "./registry_list.ts";
import { TimeSlice } from "./time_slice.ts";

/** Maximum silence of a stream in ms. A registry sends a sign of life every 5 s. */
const MAX_SILENCE = 12_000;
/** The same before a second chunk has arrived: a proxy may be buffering the stream. */
const FIRST_SILENCE = 7_000;
/** Maximum number of lines of an event. A registry sends three. */
const MAX_EVENT_LINES = 1_024;
/** Number of bytes that are parsed before other tasks may run. */
const CHUNK = 16_384;
const LF = 10;

/** What to follow, and the limits. */
export interface EventsRequest {
  fetch: Fetch;
  clock: Clock;
  url: URL;
  token: RegistryToken | undefined;
  /** The revision that is already known. */
  after: number | undefined;
  /** Maximum time in ms until the first byte, and also until the first list if no revision is known. */
  timeout: number;
  /** Maximum length of one event. */
  maxBytes: number;
  /** Ends the stream, without an error. */
  signal: AbortSignal;
}

/** An event of a registry's stream. */
export type RegistryEvent =
  /** The stream is open: the known list stays valid until an event changes it. */
  | { kind: "open" }
  | { kind: "list"; firstRevision?: number } & ServerList
  | { kind: "change" } & ServerChange;

/**
 * Follows a registry's stream of events.
 *
 * @returns True if the signal has aborted. False if the server does not stream, or a proxy holds the stream back; it may still
 *   answer with a list, and may have done so already
 * @throws {RpcError} `unavailable` if the registry is unreachable or the stream breaks; `unauthenticated` if there is no token
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
    // abort() ends the request; cancel() ends a body that does not depend on a request.
    controller.abort(error);
    reader?.cancel().catch(() => {});
  };
  const onAbort = () => stop();
  signal.addEventListener("abort", onAbort);
  if (signal.aborted) onAbort();
  let silent = false;
  let cancelTimer = () => {};
  const wait = (ms: number, what: string) => {
    cancelTimer = clock.setTimer(() => {
      silent = true;
      stop(new Error(`${what} ${ms} ms`));
    }, ms);
  };
  wait(timeout, "no answer within");
  let started = false;
  // Whether anything after the first chunk has arrived.
  let flows = false;
  try {
    const token = await tokenHeaders(request.token, controller.signal);
    const headers = { accept: "text/event-stream, application/json", ...token };
    const response = await request.fetch(url.href, { headers, signal: controller.signal });
    reader = response.body?.getReader();
    if (controller.signal.aborted) stop();
    const isStream = response.headers.get("content-type")?.startsWith("text/event-stream") ?? false;
    if (response.status === 503) throw new Error("its answer has status 503");
    if (reader === undefined || response.status !== 200) return false;
    const parser = new EventParser(maxBytes, isStream);
    const slice = new TimeSlice(clock);
    for (;;) {
      const { done, value } = await slice.wait(reader.read());
      cancelTimer();
      if (done) break;
      if (isStream && !started) yield { kind: "open" };
      flows = started;
      started = true;
      for (let at = 0; at < value.length; at += CHUNK) {
        for (const raw of parser.push(value.subarray(at, at + CHUNK))) {
          const event = await toEvent(raw, slice);
          if (event === undefined) continue;
          flows = true;
          yield event;
        }
        await slice.yieldIfDue();
      }
      const listPending = isStream && request.after === undefined;
      wait(flows ? MAX_SILENCE : listPending ? timeout : FIRST_SILENCE, "no data for");
    }
    if (!isStream && failure === undefined && !signal.aborted) {
      const list = await parseServerList(parser.end(), slice);
      const firstRevision = firstRevisionOf(response.headers);
      if (list !== undefined) yield { kind: "list", firstRevision, ...list };
      return false;
    }
    if (signal.aborted) return true;
    throw failure ?? new Error("its stream has ended");
  } catch (cause) {
    if (signal.aborted) return true;
    // A proxy may hold the stream back: a plain request may still return the list.
    if (silent && !flows) return false;
    if (cause instanceof RpcError) throw cause;
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

/** An event before its data is parsed. */
interface RawEvent {
  readonly name: string;
  readonly data: string;
}

/** Splits a stream into events. A body that is not a stream is collected as one text. */
class EventParser {
  readonly #maxBytes: number;
  readonly #isStream: boolean;
  readonly #decoder = new TextDecoder();
  #line = "";
  #name = "";
  #data = "";
  /** Length of the event that is arriving, ignored fields included. */
  #bytes = 0;
  #lines = 0;

  constructor(maxBytes: number, isStream: boolean) {
    this.#maxBytes = maxBytes;
    this.#isStream = isStream;
  }

  *push(bytes: Uint8Array): Generator<RawEvent, void, undefined> {
    let from = 0;
    if (this.#isStream) {
      for (let end = bytes.indexOf(LF); end >= 0; end = bytes.indexOf(LF, from)) {
        this.#add(bytes.subarray(from, end));
        from = end + 1;
        const event = this.#endLine();
        if (event !== undefined) yield event;
      }
    }
    this.#add(bytes.subarray(from));
  }

  /** The collected text of a body that is not a stream. */
  end(): string {
    return this.#line + this.#decoder.decode();
  }

  #add(bytes: Uint8Array): void {
    this.#bytes += bytes.length + 1;
    if (this.#bytes > this.#maxBytes) {
      throw new Error(`an answer or event is longer than ${this.#maxBytes} bytes`);
    }
    if (bytes.length > 0) this.#line += this.#decoder.decode(bytes, { stream: true });
  }

  #endLine(): RawEvent | undefined {
    const line = this.#line.endsWith("\r") ? this.#line.slice(0, -1) : this.#line;
    this.#line = "";
    if (line !== "") {
      if (++this.#lines > MAX_EVENT_LINES) throw new Error(`an event has more than ${MAX_EVENT_LINES} lines`);
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(line.startsWith(" ", colon + 1) ? colon + 2 : colon + 1);
      if (field === "event") this.#name = value;
      if (field === "data") this.#data += value;
      return undefined;
    }
    const event = { name: this.#name, data: this.#data };
    this.#name = this.#data = "";
    this.#bytes = this.#lines = 0;
    return event.name === "" ? undefined : event;
  }
}

async function toEvent({ name, data }: RawEvent, slice: TimeSlice): Promise<RegistryEvent | undefined> {
  switch (name) {
    case "list": {
      const list = await parseServerList(data, slice);
      return list === undefined ? invalidEvent(name) : { kind: "list", ...list };
    }
    case "change": {
      const change = await parseChange(data, slice);
      return change === undefined ? invalidEvent(name) : { kind: "change", ...change };
    }
    case "unavailable":
      throw new Error("it has lost its store");
    default:
      return undefined;
  }
}

function invalidEvent(name: string): never {
  throw new Error(`invalid event ${name}`);
}
