// The format of conversations, as in docs/vectors/server.json and client.json, to which frames, lines and
// values are converted. docs/vectors/README.md describes it for authors of other runners.

import type { Json } from "./cbor.ts";

/** The role of the implementation under test. */
export type Role = "server" | "client";

/** Bytes to send: a frame, or arbitrary bytes. */
export interface Outgoing {
  /** The header of a frame; strings that begin with `$` are names of variables. */
  readonly header?: readonly Json[];
  /** The body: a value, in the connection's codec. */
  readonly value?: Json;
  /** The body: bytes, in hex. */
  readonly body?: string;
  /** Raw bytes, in hex. */
  readonly hex?: string;
  /** Raw text. */
  readonly text?: string;
  /** Long bytes: the body if there is a header, otherwise raw bytes. */
  readonly repeat?: Repeat;
}

/** Repeated bytes, in hex. */
export interface Repeat {
  readonly before: string;
  readonly unit: string;
  readonly times: number;
  readonly after: string;
}

/** The expected form of a frame. */
export interface Pattern {
  /**
   * The header: null matches anything, `{from, to}` a number in that range, `{maxBytes}` and `{without}`
   * strings; metadata lists required entries.
   */
  readonly header: readonly Json[];
  /** The body is this value. */
  readonly value?: Json;
  /** The body is this value, in the notation for values. */
  readonly notation?: Json;
  /** The body may be anything or missing. */
  readonly anyBody?: true;
}

/** The expected outcome of a call by the client under test. */
export interface Settlement {
  readonly result?: Json;
  readonly items?: readonly Json[];
  readonly error?: {
    readonly code?: string | readonly string[];
    readonly message?: string;
    readonly details?: Json;
    readonly notStarted?: boolean;
  };
}

/** One step of a conversation; the fields determine its type. */
export interface Step {
  readonly send?: Outgoing | readonly Outgoing[];
  /** How often to send or expect; `$i` counts from 1. `granted` is the number of items granted by Credit. */
  readonly times?: number | "maxInFlight" | "granted";
  /** Send in writes of this many bytes. */
  readonly cut?: number;
  /** One frame, or several in any order. */
  readonly expect?: Pattern | readonly Pattern[];
  /** Frames that may arrive before, each at most once. */
  readonly allow?: readonly Pattern[];
  /** Server: it accepts the handshake, with these fields. */
  readonly answers?: Readonly<Record<string, Json>>;
  /** Server: it rejects the handshake with this code, then ends the stream. */
  readonly refuses?: string;
  /** Client: it sends its option, with these fields. */
  readonly asks?: Readonly<Record<string, Json>>;
  /** Nothing is in flight: a Ping is answered, and no other frame arrives before. */
  readonly quiet?: true;
  /** GoAway with this code, then the end of the stream. */
  readonly goaway?: string;
  readonly lastSeq?: Json;
  /** The other side ends its stream. */
  readonly ends?: true;
  /** The runner ends its stream. */
  readonly end?: true;
  /** The runner closes this connection and opens another. */
  readonly reconnect?: true;
  /** Client: execute this command, */
  readonly do?: Readonly<Record<string, Json>>;
  /** under this name. */
  readonly as?: string;
  /** Client: the expected outcome of the command with this name. */
  readonly settles?: string;
  readonly result?: Json;
  readonly items?: readonly Json[];
  readonly error?: Settlement["error"];
}

/** One case. */
export interface Conversation {
  readonly id: string;
  /** The heading of docs/PROTOCOL.md that it tests. */
  readonly section: string;
  readonly about: string;
  /** Required features; the case is skipped without them. */
  readonly needs?: readonly string[];
  /**
   * The tag (CBOR) whose content is wrong. The steps are for a decoder that knows it; for one that does not, `unknown`
   * are, with the tag as an inert pair of number and content.
   */
  readonly tag?: { readonly number: number; readonly unknown: readonly Step[] };
  /** Fields of the client's option. */
  readonly option?: Readonly<Record<string, Json>>;
  /** Fields of the server's response. */
  readonly answer?: Readonly<Record<string, Json>>;
  /** The handshake is part of the steps. */
  readonly raw?: true;
  /** Whether the connection must be usable at the end, and then be closed gracefully. Omitted: yes. */
  readonly tail?: false;
  readonly steps: readonly Step[];
}

/** Values of the variables. */
export type Variables = ReadonlyMap<string, Json>;

/** Replaces the names of variables in `json` by their values. */
export function substituted(json: Json, variables: Variables): Json {
  if (typeof json === "string") return json.startsWith("$") ? variables.get(json) ?? json : json;
  if (Array.isArray(json)) return json.map((each) => substituted(each, variables));
  if (typeof json !== "object" || json === null) return json;
  return Object.fromEntries(
    Object.entries(json).map(([name, value]) => [name, substituted(value, variables)]),
  );
}

/** Whether two values are equal; the order of names does not matter. */
export function same(a: Json | undefined, b: Json | undefined): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => {
    return Object.hasOwn(b, name) &&
      same((a as Record<string, Json>)[name], (b as Record<string, Json>)[name]);
  });
}

/** The bytes of a repetition. */
export function repeated({ before, unit, times, after }: Repeat): Uint8Array<ArrayBuffer> {
  const [first, middle, last] = [before, unit, after].map((hex) => Uint8Array.fromHex(hex));
  const bytes = new Uint8Array(first!.length + middle!.length * times + last!.length);
  bytes.set(first!);
  for (let i = 0; i < times; i++) bytes.set(middle!, first!.length + i * middle!.length);
  bytes.set(last!, bytes.length - last!.length);
  return bytes;
}
