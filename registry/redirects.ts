// Follows redirects of requests that change something. Used by announce().

import { RpcError } from "../call/error.ts";
import type { Fetch } from "../discovery/registry_request.ts";

const STATUSES: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const MAX_REDIRECTS = 5;
const MAX_LOCATION = 200;

/**
 * A `fetch` that keeps the method and the body when it is redirected within the origin: the global one would turn a POST
 * into a GET after 301, 302 or 303. Elsewhere it does not go, since the token is for this registry.
 *
 * @returns What rejects with `failed_precondition` if the redirect is to another origin, or there are too many
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
            "use the address of the registry itself",
        );
      }
      at = to.href;
    }
  };
}
