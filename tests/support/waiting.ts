// Waiting for what a test cannot be notified of. The limits are patience only: they make a test that would hang fail.

/** How long a test waits before it fails, in ms. */
const PATIENCE = 60_000;

/** Waits until `check` holds. A promise is asked for again after 20 ms, anything else with every turn of the event loop. */
export async function until(
  check: () => boolean | Promise<boolean>,
  what: string,
  within = PATIENCE,
): Promise<void> {
  const end = performance.now() + within;
  for (;;) {
    const answer = check();
    if (typeof answer === "boolean" ? answer : await answer) return;
    if (performance.now() > end) throw new Error(`Waited ${within} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, typeof answer === "boolean" ? 1 : 20));
  }
}

/** Settles as `promise` does, but fails with `what` when that takes too long to be waited for. */
export async function soon<T>(promise: Promise<T>, what: string, ms = PATIENCE): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`Waited ${ms} ms in vain for ${what}`)), ms);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
