// Detects promises of any implementation. Used for the return values of handlers and schemas.

/** Whether a value is a promise or another object with a `then` method. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return value instanceof Promise ||
    (typeof value === "object" && value !== null &&
      typeof (value as PromiseLike<unknown>).then === "function");
}
