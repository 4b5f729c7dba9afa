// What counts as a stream when it comes from a user: asked of arguments by callers, of results by whoever answers.

/** Anything whose items can be streamed. */
export type Streamable = AsyncIterable<unknown> | Iterable<unknown>;

// Asked of every argument and result, so each property is read by its own name: a name in a variable costs several times
// as much. What a getter throws is told when the value is encoded.

/** Whether a value is to be streamed: an async iterable, or an iterator such as a generator; not what is data. */
export function isStreamable(value: unknown): value is Streamable {
  if (typeof value !== "object" || value === null) return false;
  if (isAsyncIterable(value)) return true;
  try {
    const { next } = value as Iterator<unknown>;
    return typeof next === "function" && typeof (value as Iterable<unknown>)[Symbol.iterator] === "function";
  } catch {
    return false;
  }
}

/** Whether a value is an async iterable, such as an async generator or a `ReadableStream`. */
export function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  if (typeof value !== "object" || value === null) return false;
  try {
    return typeof (value as AsyncIterable<unknown>)[Symbol.asyncIterator] === "function";
  } catch {
    return false;
  }
}
