// The open streams of server-sent events, one per GET with ?watch. Owned by the Registry.
// https://html.spec.whatwg.org/multipage/server-sent-events.html

import type { Clock } from "../discovery/clock.ts";
import { type Hold, SHORT_ANSWER, type UnreadResponses } from "../transport/unread_responses.ts";
import { HttpRefusal } from "./json_response.ts";
import type { LeaseEvent } from "./store.ts";

/** Interval of keep-alive comments on an idle stream, in ms. RegistryDiscovery relies on it. */
const KEEPALIVE_INTERVAL = 5_000;
/**
 * A stream is canceled after this many intervals in a row in which its client has not taken the last event.
 */
const MAX_STALLED = 6;

/** The source of a stream. */
export interface WatchStream {
  /** The events, until the signal aborts. */
  events: (signal: AbortSignal) => AsyncIterable<LeaseEvent>;
  /** Encodes an event, including the empty line at its end. */
  render: (event: LeaseEvent) => Uint8Array<ArrayBuffer>;
  /** The address of the client. */
  client: string;
}

interface Stream {
  controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;
  abort: AbortController;
  /** Releases the store's watch. */
  leave: () => void;
  stalled: number;
  /** A long event that is being sent in parts. */
  hold: Hold | undefined;
  client: string;
}

/** All open streams, bounded in number. */
export class WatchStreams {
  readonly #max: number;
  readonly #clock: Clock;
  readonly #unread: UnreadResponses;
  readonly #openStreams = new Set<Stream>();
  #cancelTimer: (() => void) | undefined;
  /**
   * Canceled streams whose clients do not read: Deno.serve (2.9) does not close their connections while bytes
   * are unsent.
   */
  readonly #stalled = new Set<Stream>();
  /** How many streams were canceled because their clients did not read. */
  stalled = 0;

  constructor(max: number, clock: Clock, unread: UnreadResponses) {
    this.#max = max;
    this.#clock = clock;
    this.#unread = unread;
  }

  /** The number of open streams. */
  get size(): number {
    return this.#openStreams.size;
  }

  /**
   * Opens a stream.
   *
   * @throws {HttpRefusal} If there are too many
   */
  open({ events, render, client }: WatchStream): Response {
    // A stalled stream counts against the limit, so that a client that does not read cannot open an unlimited
    // number.
    if (this.#openStreams.size + this.#stalled.size >= this.#max) {
      throw new HttpRefusal(
        429,
        "resource_exhausted",
        `Cannot watch: the limit of ${this.#max} watches is reached (maxWatchers)`,
        {},
        // A client that does not read could otherwise open an unlimited number of connections.
        this.#stalled.size > 0,
      );
    }
    const abort = new AbortController();
    const iterator = events(abort.signal)[Symbol.asyncIterator]();
    // The signal ends a watch that waits for a change, but not one that is suspended at a yield.
    const leave = () => void iterator.return?.().catch(() => {});
    let stream: Stream;
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (controller) => {
        stream = { controller, abort, leave, stalled: 0, hold: undefined, client };
        this.#add(stream);
        // Also makes `Deno.serve` send the response headers at once.
        controller.enqueue(encode("retry: 1000\n\n"));
      },
      pull: async (controller) => {
        stream.stalled = 0;
        if (this.#stalled.has(stream)) {
          this.#forget(stream);
          return controller.close();
        }
        try {
          const part = this.#nextPart(stream);
          if (part !== undefined) return controller.enqueue(part);
          const { done, value } = await iterator.next();
          if (abort.signal.aborted) return;
          if (done) this.#end(stream);
          else controller.enqueue(this.#firstPart(stream, render(value)));
        } catch (error) {
          if (abort.signal.aborted) return;
          const message = JSON.stringify((error as Error).message);
          controller.enqueue(encode(`event: unavailable\ndata: {"message":${message}}\n\n`));
          this.#end(stream);
        }
      },
      cancel: () => {
        this.#remove(stream);
        this.#forget(stream);
      },
    });
    return new Response(body, {
      // No proxy may delay events to compress or buffer them; the last header is for nginx.
      headers: {
        "content-type": "text/event-stream",
        "cache-control": "no-store, no-transform",
        "x-accel-buffering": "no",
      },
    });
  }

  /** Ends all streams. */
  close(): void {
    for (const stream of [...this.#openStreams]) this.#end(stream);
    for (const stream of this.#stalled) {
      this.#forget(stream);
      stream.controller.close();
    }
  }

  /** Starts sending an event. Throws if it is long and the limit of unread bytes is reached. */
  #firstPart(stream: Stream, event: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    if (event.length <= SHORT_ANSWER) return event;
    stream.hold = this.#unread.hold(event, stream.client);
    if (stream.hold === undefined) {
      throw new Error("Too many response bytes are waiting to be read by other clients");
    }
    return this.#nextPart(stream)!;
  }

  #nextPart(stream: Stream): Uint8Array<ArrayBuffer> | undefined {
    const { hold } = stream;
    if (hold === undefined || hold.remaining === 0) return stream.hold = undefined;
    return hold.next();
  }

  #add(stream: Stream): void {
    this.#openStreams.add(stream);
    if (this.#openStreams.size === 1) this.#setTimer();
  }

  #remove(stream: Stream): void {
    stream.abort.abort();
    stream.leave();
    if (this.#openStreams.delete(stream) && this.#openStreams.size === 0) this.#cancelTimer?.();
  }

  /** Ends a stream gracefully: bytes in transit still arrive. */
  #end(stream: Stream): void {
    if (!this.#openStreams.has(stream)) return;
    this.#remove(stream);
    this.#forget(stream);
    stream.controller.close();
  }

  #setTimer(): void {
    this.#cancelTimer = this.#clock.setTimer(() => {
      for (const stream of [...this.#openStreams]) this.#keepAlive(stream);
      if (this.#openStreams.size > 0) this.#setTimer();
    }, KEEPALIVE_INTERVAL);
  }

  #keepAlive(stream: Stream): void {
    if ((stream.controller.desiredSize ?? 0) > 0) {
      stream.stalled = 0;
      stream.controller.enqueue(encode(":\n\n"));
      return;
    }
    if (++stream.stalled < MAX_STALLED) return;
    this.stalled++;
    this.#remove(stream);
    stream.hold?.stall();
    this.#stalled.add(stream);
  }

  /** Releases a stream whose connection has ended or will end. */
  #forget(stream: Stream): void {
    stream.hold?.end();
    this.#stalled.delete(stream);
  }
}

function encode(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}
