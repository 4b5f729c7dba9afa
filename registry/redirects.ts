// Follows redirects of requests that are not GET. Used by announce().

import { RpcError } from "../call/error.ts";
import type { Fetch } from "../discovery/registry_request.ts";

const STATUSES: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const MAX_REDIRECTS = 5;
const MAX_LOCATION = 200;

/**
 * Wraps `fetch` to keep the method and body across redirects within the origin: the global one turns a POST
 * into a GET after 301, 302 or 303. Redirects to another origin are rejected, because the token is meant for
 * this registry.
 *
 * @returns A `fetch` that rejects with `failed_precondition` if a redirect leads to another origin, or there
 * are more than 5
 */
export function followingRedirects(fetch: Fetch): Fetch {
  return async (url, init) => {
    let at = url;
    for (let redirects = 0;; redirects++) {
      const response = await fetch(at, { ...init, redirect: "manual" });
      if (!STATUSES.has(response.status)) return response;
      response.body?.cancel().catch(() => {});
      const to = URL.parse(response.headers.get("location") ?? "", at);
      if (to === null || to.origin !== new URL(url).origin || redirects === MAX_REDIRECTS) {
        const where = to === null ? "nowhere" : `${to.origin}${to.pathname}`.slice(0, MAX_LOCATION);
        throw new RpcError(
          "failed_precondition",
          `Cannot use registry at ${url}: it redirects to ${where} (status ${response.status}); ` +
            "use the final address of the registry",
        );
      }
      at = to.href;
    }
  };
}
