// Frames by hand, one function a kind: for sending, and as the headers that are expected. Like raw_peer.ts it shares
// nothing with the library's encoder. What no function builds, e.g. a malformed header, is written as `frame([…])`.

import { cbor, frame, type Item } from "./raw_peer.ts";

/** The first element of a header. */
export const Kind = {
  call: 1,
  reply: 2,
  error: 3,
  item: 4,
  end: 5,
  cancel: 6,
  credit: 7,
  ping: 8,
  pong: 9,
  goAway: 10,
} as const;

/** Headers, as a decoder reads them. `rest` is what may be absent, or what a test does not look at. */
export const headerOf = {
  call: (seq: number, method: string, ...rest: Item[]): Item[] => [Kind.call, seq, method, ...rest],
  reply: (seq: number, ...rest: Item[]): Item[] => [Kind.reply, seq, ...rest],
  error: (seq: number, code: string, ...rest: Item[]): Item[] => [Kind.error, seq, code, ...rest],
  item: (seq: number): Item[] => [Kind.item, seq],
  end: (seq: number, ...rest: Item[]): Item[] => [Kind.end, seq, ...rest],
  cancel: (seq: number): Item[] => [Kind.cancel, seq],
  credit: (seq: number, items: number, size: number): Item[] => [Kind.credit, seq, items, size],
  ping: (n: number): Item[] => [Kind.ping, n],
  pong: (n: number): Item[] => [Kind.pong, n],
  goAway: (lastSeq: number, code: string, ...rest: Item[]): Item[] => [Kind.goAway, lastSeq, code, ...rest],
};

type Bytes = Uint8Array<ArrayBuffer>;

/** A frame with a body, or without one where the value is undefined. */
function withBody(header: Item[], value: Item): Bytes {
  return value === undefined ? frame(header) : frame(header, cbor(value));
}

/** A Call with one argument. */
export function call(seq: number, method: string, args: Item = null, timeout = 0, metadata?: Item): Bytes {
  const rest = metadata === undefined ? [] : [metadata];
  return frame(headerOf.call(seq, method, timeout, ...rest), cbor(args));
}

/** A Call without a body: of no argument, or of a stream of them. */
export function emptyCall(seq: number, method: string, timeout = 0): Bytes {
  return frame(headerOf.call(seq, method, timeout));
}

export function reply(seq: number, value?: Item): Bytes {
  return withBody(headerOf.reply(seq), value);
}

export function error(seq: number, code: string, message = "", details?: Item): Bytes {
  return withBody(headerOf.error(seq, code, message), details);
}

export function item(seq: number, value?: Item): Bytes {
  return withBody(headerOf.item(seq), value);
}

export function end(seq: number, metadata?: Item): Bytes {
  return frame(metadata === undefined ? headerOf.end(seq) : headerOf.end(seq, metadata));
}

export function cancel(seq: number): Bytes {
  return frame(headerOf.cancel(seq));
}

export function credit(seq: number, items: number, size: number): Bytes {
  return frame(headerOf.credit(seq, items, size));
}

export function ping(n: number): Bytes {
  return frame(headerOf.ping(n));
}

export function pong(n: number): Bytes {
  return frame(headerOf.pong(n));
}

export function goAway(lastSeq: number, code: string, message = ""): Bytes {
  return frame(headerOf.goAway(lastSeq, code, message));
}
