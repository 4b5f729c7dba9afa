// The streams of server-sent events that are open, one for each GET with ?watch. Owned by the Registry.
// https://html.spec.whatwg.org/multipage/server-sent-events.html

import type { Clock } from "../discovery/clock.ts";
import { type Hold, SHORT_ANSWER, type UnreadResponses } from "../transport/unread_responses.ts";
import { HttpRefusal } from "./json_response.ts";
import type { LeaseEvent } from "./store.ts";

/** How often a stream without events shows that it is alive, in ms. RegistryDiscovery relies on it. */
const KEEPALIVE_INTERVAL = 5_000;
/** How many of these in a row may find that the last event is not even taken yet. */
const MAX_STALLED = 6;

/** What a stream tells, and how. */
export interface WatchStream {
  /** What happens, until the signal aborts. */
  events: (signal: AbortSignal) => AsyncIterable<LeaseEvent>;
  /** The text of an event, with the empty line at its end. */
  render: (event: LeaseEvent) => Uint8Array<ArrayBuffer>;
  /** Where the request comes from. */
  asker: string;
}

interface Stream {
  controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;
  abort: AbortController;
  /** Lets go of the watch. */
  leave: () => void;
  stalled: number;
  /** A long event that is being handed out. */
  hold: Hold | undefined;
  asker: string;
}

/** All that are open, bounded in number. */
export class WatchStreams {
  readonly #max: number;
  readonly #clock: Clock;
  readonly #unread: UnreadResponses;
  readonly #open = new Set<Stream>();
  #cancelTimer: (() => void) | undefined;
  /** Streams whose clients do not read: Deno.serve (2.9) does not close their connections while bytes are unsent. */
  readonly #stalled = new Set<Stream>();
  /** How many were cut because nobody read them. */
  stalled = 0;

  constructor(max: number, clock: Clock, unread: UnreadResponses) {
    this.#max = max;
    this.#clock = clock;
    this.#unread = unread;
  }

  /** How many are open. */
  get size(): number {
    return this.#open.size;
  }

  /**
   * Opens one.
   *
   * @throws {HttpRefusal} If there are too many
   */
  open({ events, render, asker }: WatchStream): Response {
    // A stalled stream keeps its place, so that a client that does not read cannot open any number of them.
    if (this.#open.size + this.#stalled.size >= this.#max) {
      throw new HttpRefusal(
        429,
        "resource_exhausted",
        `Cannot watch: ${this.#max} watch already, its maxWatchers`,
        {},
        // Otherwise a client that does not read could open any number of connections.
        this.#stalled.size > 0,
      );
    }
    const abort = new AbortController();
    const iterator = events(abort.signal)[Symbol.asyncIterator]();
    // Aborting alone reaches a watch that waits for a change, not one whose last event was handed out.
    const leave = () => void iterator.return?.().catch(() => {});
    let stream: Stream;
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (controller) => {
        stream = { controller, abort, leave, stalled: 0, hold: undefined, asker };
        this.#add(stream);
        // Also what makes the head of the answer leave at once.
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
      // Nothing on the way may hold an event back to compress it, or to fill a buffer: the last one is for nginx.
      headers: {
        "content-type": "text/event-stream",
        "cache-control": "no-store, no-transform",
        "x-accel-buffering": "no",
      },
    });
  }

  /** Ends all of them. */
  close(): void {
    for (const stream of [...this.#open]) this.#end(stream);
    for (const stream of this.#stalled) {
      this.#forget(stream);
      stream.controller.close();
    }
  }

  /** The beginning of an event. Throws if it is long and there is no room for it. */
  #firstPart(stream: Stream, event: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    if (event.length <= SHORT_ANSWER) return event;
    stream.hold = this.#unread.hold(event, stream.asker);
    if (stream.hold === undefined) throw new Error("Too much waits to be read by others");
    return this.#nextPart(stream)!;
  }

  #nextPart(stream: Stream): Uint8Array<ArrayBuffer> | undefined {
    const { hold } = stream;
    if (hold === undefined || hold.remaining === 0) return stream.hold = undefined;
    return hold.next();
  }

  #add(stream: Stream): void {
    this.#open.add(stream);
    if (this.#open.size === 1) this.#setTimer();
  }

  #remove(stream: Stream): void {
    stream.abort.abort();
    stream.leave();
    if (this.#open.delete(stream) && this.#open.size === 0) this.#cancelTimer?.();
  }

  /** In good order: what is under way still arrives. */
  #end(stream: Stream): void {
    if (!this.#open.has(stream)) return;
    this.#remove(stream);
    this.#forget(stream);
    stream.controller.close();
  }

  #setTimer(): void {
    this.#cancelTimer = this.#clock.setTimer(() => {
      for (const stream of [...this.#open]) this.#keepAlive(stream);
      if (this.#open.size > 0) this.#setTimer();
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

  /** Its connection has ended, or will. */
  #forget(stream: Stream): void {
    stream.hold?.end();
    this.#stalled.delete(stream);
  }
}

function encode(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}
