// Watching requests only where they take time: to touch a request's signal takes as long as all the rest of a short call.

/** After so many microtasks a request is not one that is answered in its first turn of the event loop. */
const SHORT = 48;

/**
 * Calls `watch` unless the request is answered in this turn of the event loop. Later would be too late over HTTP/2, where the
 * signal of a client that has left before the first touch never aborts.
 *
 * @param done Whether the request no longer needs to be watched
 */
export function ifSlow(done: () => boolean, watch: () => void): void {
  let left = SHORT;
  const look = () => {
    if (done()) return;
    if (left-- > 0) queueMicrotask(look);
    else watch();
  };
  queueMicrotask(look);
}
