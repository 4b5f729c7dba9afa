// Figures that many ask for again and again: worked out once in a while, whoever asks. Used by Server for what it tells of
// itself.

/**
 * For how many ms those who look on are told the same figures: less than the shortest interval of `rpc.Reflection.stats`,
 * so that no stream is told the same twice.
 */
export const STATS_SHARED_FOR = 90;

/**
 * Makes a function that works something out at most once in so many ms, and gives everyone the same in between.
 *
 * @param duration For how long the same is given, in ms
 * @param make Works it out
 */
export function cachedFor<T>(duration: number, make: () => T): () => T {
  let made: { readonly value: T; readonly at: number } | undefined;
  return () => {
    const now = performance.now();
    if (made === undefined || now - made.at >= duration) made = { value: make(), at: now };
    return made.value;
  };
}
