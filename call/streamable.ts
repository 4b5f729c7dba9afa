// Decides which values are sent as streams: arguments of callers, results of handlers and interceptors.

/** A value whose items can be streamed. */
export type Streamable = AsyncIterable<unknown> | Iterable<unknown>;

// On the path of every argument and result, so each property is read by its literal name: a name in a variable costs several
// times as much. Exceptions of getters surface when the value is encoded.

/** Whether a value is sent as a stream: an async iterable, or an iterator such as a generator. Arrays and the like are data. */
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
