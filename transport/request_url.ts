// The URL of an HTTP request. Its path is exactly that of the request line, whatever the Host header contains. Used by http.ts,
// Server.fetch and the registry.

/** Valid values of `Host`: a name or an address, with an optional port, and nothing that would change the rest of the URL. */
const HOST = /^(?:[\w.-]+|\[[\da-fA-F:.]+\])(?::\d*)?$/;

/**
 * Parses the URL of a request.
 *
 * @param text The URL, composed of `Host` and the request target, or an absolute request target
 * @param host The `Host` header, if any
 * @returns undefined if `Host` is invalid, or if parsing changes the path, such as `/a/../b`: a proxy that checked the path has
 *   checked another one
 */
export function requestUrl(text: string, host: string | null): URL | undefined {
  if (host !== null && host !== "" && !HOST.test(host)) return undefined;
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return undefined;
  }
  const from = text.indexOf("/", text.indexOf("://") + 3);
  const written = from < 0 ? "/" : text.slice(from).split("?", 1)[0];
  return url.pathname === written ? url : undefined;
}
