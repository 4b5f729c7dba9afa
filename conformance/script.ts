// The form of conversations: what docs/vectors/server.json and client.json hold, and what frames, lines and values are
// turned into. docs/vectors/README.md describes it for those who write a runner of their own.

import type { Json } from "./cbor.ts";

/** Which side the implementation under test is. */
export type Role = "server" | "client";

/** What is sent: a frame, or bytes of any kind. */
export interface Outgoing {
  /** A frame's header; texts that begin with `$` are names of variables. */
  readonly header?: readonly Json[];
  /** Its body: a value, in the connection's codec. */
  readonly value?: Json;
  /** Its body: bytes, in hex. */
  readonly body?: string;
  /** Bytes as they are. */
  readonly hex?: string;
  /** Text as it is. */
  readonly text?: string;
  /** Long bytes, in hex: the body where there is a header, else bytes as they are. */
  readonly repeat?: Repeat;
}

/** Long bytes. */
export interface Repeat {
  readonly before: string;
  readonly unit: string;
  readonly times: number;
  readonly after: string;
}

/** What a frame has to be like. */
export interface Pattern {
  /** Its header: null is anything, `{from, to}` a number between, `{maxBytes}` and `{without}` texts; metadata name what must be there. */
  readonly header: readonly Json[];
  /** Its body is this value. */
  readonly value?: Json;
  /** Its body is this value, in the notation of values. */
  readonly notation?: Json;
  /** It has a body, or none, as it likes. */
  readonly anyBody?: true;
}

/** How a call of the client under test must be settled. */
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

/** One step of a conversation: one of its fields says which. */
export interface Step {
  readonly send?: Outgoing | readonly Outgoing[];
  /** How often to send, or to expect: `$i` counts from 1. `granted` is as many items as came in Credit. */
  readonly times?: number | "maxInFlight" | "granted";
  /** Sends in writes of so many bytes. */
  readonly cut?: number;
  /** One frame, or several in any order. */
  readonly expect?: Pattern | readonly Pattern[];
  /** What may come before, each at most once. */
  readonly allow?: readonly Pattern[];
  /** Server: an answer that accepts, with these fields. */
  readonly answers?: Readonly<Record<string, Json>>;
  /** Server: an answer that refuses, with this code, and then the end. */
  readonly refuses?: string;
  /** Client: its option has come, with these fields. */
  readonly asks?: Readonly<Record<string, Json>>;
  /** Nothing is under way: a Ping is answered, and nothing comes before. */
  readonly quiet?: true;
  /** GoAway with this code, and then the end. */
  readonly goaway?: string;
  readonly lastSeq?: Json;
  /** The other side ends. */
  readonly ends?: true;
  /** The runner ends its side. */
  readonly end?: true;
  /** The runner leaves this connection and makes another. */
  readonly reconnect?: true;
  /** Client: is told to do this. */
  readonly do?: Readonly<Record<string, Json>>;
  /** Client: under this name. */
  readonly as?: string;
  /** Client: what was told under this name comes out so. */
  readonly settles?: string;
  readonly result?: Json;
  readonly items?: readonly Json[];
  readonly error?: Settlement["error"];
}

/** One case. */
export interface Conversation {
  readonly id: string;
  /** The heading of docs/PROTOCOL.md that it is about. */
  readonly section: string;
  readonly about: string;
  /** Features without which it is skipped. */
  readonly needs?: readonly string[];
  /** Fields of the client's option. */
  readonly option?: Readonly<Record<string, Json>>;
  /** Fields of the server's answer. */
  readonly answer?: Readonly<Record<string, Json>>;
  /** The handshake is among the steps. */
  readonly raw?: true;
  /** Whether the connection must be fit for use at the end, and then end in good order; left out = yes. */
  readonly tail?: false;
  readonly steps: readonly Step[];
}

/** What variables stand for. */
export type Variables = ReadonlyMap<string, Json>;

/** `json` with variables in place of their names. */
export function filled(json: Json, variables: Variables): Json {
  if (typeof json === "string") return json.startsWith("$") ? variables.get(json) ?? json : json;
  if (Array.isArray(json)) return json.map((each) => filled(each, variables));
  if (typeof json !== "object" || json === null) return json;
  return Object.fromEntries(Object.entries(json).map(([name, value]) => [name, filled(value, variables)]));
}

/** Whether two values are the same; the order of names has no meaning. */
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

/** The bytes that a repetition is. */
export function repeated({ before, unit, times, after }: Repeat): Uint8Array<ArrayBuffer> {
  const [first, middle, last] = [before, unit, after].map((hex) => Uint8Array.fromHex(hex));
  const whole = new Uint8Array(first!.length + middle!.length * times + last!.length);
  whole.set(first!);
  for (let i = 0; i < times; i++) whole.set(middle!, first!.length + i * middle!.length);
  whole.set(last!, whole.length - last!.length);
  return whole;
}
