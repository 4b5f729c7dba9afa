// Long answers over HTTP, such as a registry's list or the metrics of many methods: handed out as their clients read, and
// bounded in what all of them hold together. Owned by a Server and by a Registry, each its own.

import { type Clock, SYSTEM_CLOCK } from "../discovery/clock.ts";
import { formatAddress } from "../discovery/endpoint.ts";
import { networkOf } from "./connection_counts.ts";

/** Answers up to this length, in bytes, are handed over whole and not counted. */
export const SHORT_ANSWER = 65_536;
/** What is handed out at once, in bytes: of smaller parts Deno.serve (2.9) holds fewer bytes. */
const PART = 16_384;
/** What Deno.serve (2.9) holds of an answer whose client does not read, in bytes. */
const HELD = 786_432;
/** What answers may hold together, in bytes. */
const MAX_BYTES = 67_108_864;
/** The share of it that clients of one address may have, or of one IPv6 network of 64 bits. */
const SHARE = 0.5;
/** How long a client may take nothing of an answer until the rest is let go, in ms. */
const STALLED = 30_000;

/** What `Deno.serve` says of a request besides the request. */
export interface FetchInfo {
  /** Where it comes from. */
  readonly remoteAddr: Deno.Addr;
}

/** A long answer under way. */
export interface Hold {
  /** How many bytes are left to hand out. */
  readonly left: number;
  /** The next of them. With the last one, the answer is counted no more. */
  next(): Uint8Array<ArrayBuffer>;
  /** Lets go of what is left, since the client does not read: what Deno.serve holds is counted until `end`. */
  stall(): void;
  /** The answer is not under way any more. */
  end(): void;
}

/** All long answers that are under way. */
export class UnreadResponses {
  readonly #clock: Clock;
  readonly #maxBytes: number;
  /** How many answers there are of each body: they share it. */
  readonly #bodies = new Map<Uint8Array, number>();
  readonly #byPeer = new Map<string, number>();
  #bytes = 0;

  /** @param maxBytes What they may hold together */
  constructor(clock: Clock = SYSTEM_CLOCK, maxBytes: number = MAX_BYTES) {
    this.#clock = clock;
    this.#maxBytes = maxBytes;
  }

  /** What they hold together, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Makes a body the body of a response.
   *
   * @param body What is not changed any more; other answers may have the same
   * @param asker Where the request comes from
   * @returns undefined if there is no room for another long answer
   */
  response(
    body: Uint8Array<ArrayBuffer>,
    headers: Readonly<Record<string, string>>,
    asker: string,
  ): Response | undefined {
    if (body.length <= SHORT_ANSWER) return new Response(body, { headers });
    const hold = this.hold(body, asker);
    if (hold === undefined) return undefined;
    let cancelTimer = () => {};
    const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: () => {
        const watch = (left: number) => {
          cancelTimer = this.#clock.setTimer(() => {
            if (hold.left === left) hold.stall();
            else watch(hold.left);
          }, STALLED);
        };
        watch(hold.left);
      },
      pull: (controller) => {
        if (hold.left === 0) {
          // Only now: while bytes wait to be read, Deno.serve (2.9) ends no connection. It does for a body that is short.
          hold.end();
          return controller.close();
        }
        controller.enqueue(hold.next());
        if (hold.left > 0) return;
        cancelTimer();
        controller.close();
      },
      cancel: () => {
        cancelTimer();
        hold.end();
      },
    }, { highWaterMark: 0 });
    return new Response(stream, { headers: { ...headers, "content-length": String(body.length) } });
  }

  /**
   * Counts a body that is handed out part by part.
   *
   * @returns undefined if there is no room for another
   */
  hold(body: Uint8Array<ArrayBuffer>, asker: string): Hold | undefined {
    const peer = networkOf(asker);
    const own = Math.min(body.length, HELD);
    const cost = own + (this.#bodies.has(body) ? 0 : body.length);
    const ofPeer = peer === undefined ? 0 : (this.#byPeer.get(peer) ?? 0) + cost;
    const isTooMuch = this.#bytes + cost > this.#maxBytes || ofPeer > this.#maxBytes * SHARE;
    if (isTooMuch && this.#bytes > 0) return undefined;
    this.#bytes += cost;
    this.#bodies.set(body, (this.#bodies.get(body) ?? 0) + 1);
    if (peer !== undefined) this.#byPeer.set(peer, ofPeer);
    let at = 0;
    let state: "sending" | "stalled" | "ended" = "sending";
    const stall = () => {
      if (state !== "sending") return;
      state = "stalled";
      this.#forget(body);
    };
    const end = () => {
      if (state === "ended") return;
      stall();
      state = "ended";
      this.#bytes -= own;
      if (peer === undefined) return;
      const left = this.#byPeer.get(peer)! - cost;
      if (left > 0) this.#byPeer.set(peer, left);
      else this.#byPeer.delete(peer);
    };
    return {
      get left() {
        return state === "sending" ? body.length - at : 0;
      },
      next() {
        const part = body.subarray(at, at + PART);
        at += part.length;
        if (at === body.length) end();
        return part;
      },
      stall,
      end,
    };
  }

  #forget(body: Uint8Array): void {
    const count = this.#bodies.get(body)! - 1;
    if (count > 0) return void this.#bodies.set(body, count);
    this.#bodies.delete(body);
    this.#bytes -= body.length;
  }
}

/**
 * An answer after which Deno.serve (2.9) ends the connection: it does so where fewer bytes come than were announced, and not
 * for `Connection: close`. So this announces one too many.
 */
export function lastResponse(
  text: string,
  status: number,
  headers: Readonly<Record<string, string>>,
): Response {
  const body = new TextEncoder().encode(text);
  const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start: (controller) => {
      controller.enqueue(body);
      controller.close();
    },
  });
  const length = { connection: "close", "content-length": String(body.length + 1) };
  return new Response(stream, { status, headers: { ...headers, ...length } });
}

/** Where a request comes from, such as `tcp@127.0.0.1:50312`; `unknown` if that is not known. */
export function askerOf(info: FetchInfo | undefined): string {
  return addressOf(info?.remoteAddr);
}

/** An address of Deno's as text, such as `tcp@127.0.0.1:50312`; `unknown` if there is none. */
export function addressOf(address: Deno.Addr | undefined): string {
  if (address === undefined) return "unknown";
  if ("hostname" in address) {
    const { hostname, port } = address;
    // Asked for each call over HTTP, where formatAddress takes a twentieth of the time of the whole call.
    if (!hostname.includes(":")) return `tcp@${hostname}:${port}`;
    return formatAddress({ transport: "tcp", hostname, port });
  }
  return address.transport === "unix" ? `unix@${address.path}` : "unknown";
}
