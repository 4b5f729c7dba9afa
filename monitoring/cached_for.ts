// Caches a value for a short time, so that many readers cost no more than one. Used for the stats of a Server.

/**
 * How long stats are cached, in ms: less than the shortest interval of `rpc.Reflection.stats`, so that no stream gets
 * the same stats twice.
 */
export const STATS_SHARED_FOR = 90;

/**
 * Returns a function that returns a cached value, and makes a new one when it is too old.
 *
 * @param duration How long a value is cached, in ms
 * @param make Makes a value
 */
export function cachedFor<T>(duration: number, make: () => T): () => T {
  let made: { readonly value: T; readonly at: number } | undefined;
  return () => {
    const now = performance.now();
    if (made === undefined || now - made.at >= duration) made = { value: make(), at: now };
    return made.value;
  };
}
