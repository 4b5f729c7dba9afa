// The URL of a request over HTTP: its path is what stands in the request line, whatever the Host says. Used by http.ts, by
// Server.fetch and by the registry.

/** What `Host` may say: a name or an address, and a port; nothing by which more of the URL would become the host, or less. */
const HOST = /^(?:[\w.-]+|\[[\da-fA-F:.]+\])(?::\d*)?$/;

/**
 * Reads the URL of a request.
 *
 * @param text The URL as it was put together from `Host` and the request's target, or as the target has it
 * @param host The header, if there is one
 * @returns undefined if the Host is invalid, or the path is read as another than it is written, such as `/a/../b`: a proxy
 *   that let the request pass because of its path has not seen that one
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
