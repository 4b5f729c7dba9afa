// What a request for a call asks for: decided by negotiate.ts, answered by exchange.ts.

import type { Method } from "../call/handler.ts";
import type { StreamForm } from "./stream_form.ts";

/** What a request asks for: a method, and how arguments and answer are written. */
export interface Asked {
  readonly method: string;
  /** The method; undefined for unknown names, which are looked up when the call is admitted. */
  readonly target: Method | undefined;
  readonly args: "body" | "query" | "only" | "items" | "none";
  /** How a stream of items is written, in either direction. */
  readonly items: "envelopes" | "lines";
  /** How an answer that is a stream is written; undefined = not known yet. */
  readonly form: StreamForm | undefined;
  /** The arguments in the query of a GET. */
  readonly query?: () => Uint8Array<ArrayBuffer>;
}
