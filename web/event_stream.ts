// Streams of answers for browsers and people: server-sent events, which EventSource reads, and lines of JSON.
// https://html.spec.whatwg.org/multipage/server-sent-events.html, https://github.com/ndjson/ndjson-spec

import type { Code } from "../call/error.ts";
import type { StreamForm } from "./stream_form.ts";

/**
 * The id of the event that ends a stream. EventSource opens a stream that has ended again, sending the id of the last event
 * that it has received; it stops when the answer to that is 204.
 */
export const LAST_EVENT_ID = "end";
/** How long EventSource waits before it tries again after a failure that may pass, in ms. */
const RETRY = 1_000;
/** Codes of failures that may pass. */
const PASSING: ReadonlySet<Code> = new Set([
  "unavailable",
  "resource_exhausted",
  "aborted",
  "deadline_exceeded",
]);

const encoder = new TextEncoder();

/** Answers as server-sent events: each item is a message, and `end` or `error` is the last event. */
export const EVENTS: StreamForm = {
  contentType: "text/event-stream",
  headFirst: false,
  comment: encoder.encode(":\n\n"),
  item: (json) => encoder.encode(`data: ${json}\n\n`),
  end: (error) => {
    if (error === undefined) return encoder.encode(`id: ${LAST_EVENT_ID}\nevent: end\ndata: {}\n\n`);
    const again = passes(error.code) ? `retry: ${RETRY}` : `id: ${LAST_EVENT_ID}`;
    return encoder.encode(`${again}\nevent: error\ndata: ${JSON.stringify(error)}\n\n`);
  },
};

/** Answers as lines of JSON: each item is a line, and a failure is a last line `{"error": …}`. */
export const LINES: StreamForm = {
  contentType: "application/x-ndjson",
  headFirst: false,
  item: (json) => encoder.encode(`${json}\n`),
  end: (error) => encoder.encode(error === undefined ? "" : `${JSON.stringify({ error })}\n`),
};

/** Whether a failure may pass, so that EventSource is to try again: it gives up at every status but 200. */
export function passes(code: Code): boolean {
  return PASSING.has(code);
}
