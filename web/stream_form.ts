// How a stream of answers is written over HTTP: Connect envelopes, server-sent events or lines of JSON.

import type { ErrorJson } from "./errors.ts";

/** One way to write a stream of answers. */
export interface StreamForm {
  /** The content type of the response. */
  readonly contentType: string;
  /** Whether the head is sent before the handler is started, so that every failure is written by `end`. */
  readonly headFirst: boolean;
  /** What is sent while there are no items, so that proxies do not end the connection. */
  readonly comment?: Uint8Array<ArrayBuffer>;
  /** Writes one item. */
  item(json: string): Uint8Array<ArrayBuffer>;
  /**
   * Writes the end.
   *
   * @param error Why the stream failed, if it did
   * @param metadata The reply metadata
   */
  end(
    error: ErrorJson | undefined,
    metadata: readonly (readonly [name: string, text: string])[],
  ): Uint8Array<ArrayBuffer>;
}
