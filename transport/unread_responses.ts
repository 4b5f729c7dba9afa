// Long HTTP responses, such as a registry's list or the metrics of many methods: sent as fast as their clients read, with a limit
// on the memory of all of them. A Server and a Registry each own one.

import { type Clock, SYSTEM_CLOCK } from "../discovery/clock.ts";
import { formatAddress } from "../discovery/endpoint.ts";
import { networkOf } from "./connection_counts.ts";

/** Maximum length of responses that are passed on whole and not counted, in bytes. */
export const SHORT_ANSWER = 65_536;
/** Length of the parts that are passed on at once, in bytes. Deno.serve (2.9) buffers fewer bytes of smaller parts. */
const PART = 16_384;
/** Bytes of a response that Deno.serve (2.9) buffers while its client does not read. */
const BUFFERED = 786_432;
/** Limit of the memory of all responses, in bytes. */
const MAX_BYTES = 67_108_864;
/** Share of the limit that clients with the same address, or in the same 64-bit IPv6 network, may use. */
const SHARE = 0.5;
/** Time after which a client that reads nothing loses the rest of its response, in ms. */
const STALL_TIMEOUT = 30_000;

/** The second argument of a handler of `Deno.serve`, as far as it is used. */
export interface FetchInfo {
  /** The address of the client. */
  readonly remoteAddr: RemoteAddress;
}

/** The address of a client of an HTTP server: a host and a port, or the path of a Unix socket. */
export interface RemoteAddress {
  /** Such as `tcp` or `unix`. */
  readonly transport?: string;
  /** The IP address. */
  readonly hostname?: string;
  /** The port. */
  readonly port?: number;
  /** The path of a Unix socket. */
  readonly path?: string | null;
}

/** A long response that is being sent. */
export interface Hold {
  /** Number of bytes that are not passed on yet. */
  readonly remaining: number;
  /** The next part. After the last one, the response is no longer counted. */
  next(): Uint8Array<ArrayBuffer>;
  /** Discards the rest, since the client does not read. The bytes that Deno.serve buffers are counted until `end`. */
  stall(): void;
  /** Stops counting the response. */
  end(): void;
}

/** All long responses that are being sent. */
export class UnreadResponses {
  readonly #clock: Clock;
  readonly #maxBytes: number;
  /** Number of responses that share each body. */
  readonly #bodies = new Map<Uint8Array, number>();
  readonly #byPeer = new Map<string, number>();
  #bytes = 0;

  /** @param maxBytes Limit of the memory of all responses */
  constructor(clock: Clock = SYSTEM_CLOCK, maxBytes: number = MAX_BYTES) {
    this.#clock = clock;
    this.#maxBytes = maxBytes;
  }

  /** Memory of all responses, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Creates a response with a body.
   *
   * @param body The body, which must not change anymore; several responses may share it
   * @param client The address of the client
   * @returns undefined if the limit of memory is reached
   */
  response(
    body: Uint8Array<ArrayBuffer>,
    headers: Readonly<Record<string, string>>,
    client: string,
  ): Response | undefined {
    if (body.length <= SHORT_ANSWER) return new Response(body, { headers });
    const hold = this.hold(body, client);
    if (hold === undefined) return undefined;
    let cancelTimer = () => {};
    const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: () => {
        const checkProgress = (remaining: number) => {
          cancelTimer = this.#clock.setTimer(() => {
            if (hold.remaining === remaining) hold.stall();
            else checkProgress(hold.remaining);
          }, STALL_TIMEOUT);
        };
        checkProgress(hold.remaining);
      },
      pull: (controller) => {
        if (hold.remaining === 0) {
          // Only now: while unread bytes are buffered, Deno.serve (2.9) does not end a connection; for a short body it does.
          hold.end();
          return controller.close();
        }
        controller.enqueue(hold.next());
        if (hold.remaining > 0) return;
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
   * Counts a body that is passed on in parts.
   *
   * @returns undefined if the limit of memory is reached
   */
  hold(body: Uint8Array<ArrayBuffer>, client: string): Hold | undefined {
    const peer = networkOf(client);
    const own = Math.min(body.length, BUFFERED);
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
      this.#release(body);
    };
    const end = () => {
      if (state === "ended") return;
      stall();
      state = "ended";
      this.#bytes -= own;
      if (peer === undefined) return;
      const rest = this.#byPeer.get(peer)! - cost;
      if (rest > 0) this.#byPeer.set(peer, rest);
      else this.#byPeer.delete(peer);
    };
    return {
      get remaining() {
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

  #release(body: Uint8Array): void {
    const count = this.#bodies.get(body)! - 1;
    if (count > 0) return void this.#bodies.set(body, count);
    this.#bodies.delete(body);
    this.#bytes -= body.length;
  }
}

/**
 * A response after which Deno.serve (2.9) closes the connection. It ignores `Connection: close`, but closes if the body is shorter
 * than announced, so this announces one byte too many.
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

/** The address of a request's client, such as `tcp@127.0.0.1:50312`; `unknown` if it is not known. */
export function askerOf(info: FetchInfo | undefined): string {
  return addressOf(info?.remoteAddr);
}

/** An address of Deno's as text, such as `tcp@127.0.0.1:50312`; `unknown` if there is none. */
export function addressOf(address: RemoteAddress | undefined): string {
  if (address === undefined) return "unknown";
  const { transport, hostname, port, path } = address;
  if (hostname !== undefined && port !== undefined) {
    // Runs for each call over HTTP, where formatAddress takes a twentieth of the time of the whole call.
    return hostname.includes(":")
      ? formatAddress({ transport: "tcp", hostname, port })
      : `tcp@${hostname}:${port}`;
  }
  return transport === "unix" ? `unix@${path}` : "unknown";
}
