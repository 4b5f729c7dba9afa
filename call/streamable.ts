// What counts as a stream when it comes from a user: asked of arguments by callers, of results by whoever answers.

/** Anything whose items can be streamed. */
export type Streamable = AsyncIterable<unknown> | Iterable<unknown>;

/** Whether a value is to be streamed: an async iterable, or an iterator such as a generator; not what is data. */
export function isStreamable(value: unknown): value is Streamable {
  return isAsyncIterable(value) || hasMethod(value, "next") && hasMethod(value, Symbol.iterator);
}

/** Whether a value is an async iterable, such as an async generator or a `ReadableStream`. */
export function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return hasMethod(value, Symbol.asyncIterator);
}

function hasMethod(value: unknown, name: PropertyKey): boolean {
  if (typeof value !== "object" || value === null) return false;
  try {
    return typeof (value as Record<PropertyKey, unknown>)[name] === "function";
  } catch {
    // What a getter throws is told when the value is encoded.
    return false;
  }
}
