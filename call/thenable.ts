// Whether a user's value is a promise, of whatever make. Asked of what handlers and schemas return.

/** Whether a value has to be waited for. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return value instanceof Promise ||
    (typeof value === "object" && value !== null &&
      typeof (value as PromiseLike<unknown>).then === "function");
}
