// Responses with one of the library's pages: a single document under a strict Content-Security-Policy. Used by
// Monitoring, and by the registry for its page.

/** Headers of all responses: no caching, no content sniffing, no access from other origins. */
export const SHOWN_HEADERS: Readonly<Record<string, string>> = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
};

/**
 * Answers with a page.
 *
 * @param html The document
 * @param script The one script in it, which makes no elements from text
 * @param style The one style sheet in it
 */
export async function htmlResponse(html: string, script: string, style: string): Promise<Response> {
  return new Response(html, { headers: await htmlHeaders(script, style) });
}

/** The headers of a page, as {@linkcode htmlResponse} sends them. */
export async function htmlHeaders(script: string, style: string): Promise<Record<string, string>> {
  // Loads nothing from other origins, sends nothing to them, and never turns text into markup.
  const policy = [
    "default-src 'none'",
    `script-src '${await hashOf(script)}'`,
    `style-src '${await hashOf(style)}'`,
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; ");
  const type = { "content-type": "text/html; charset=utf-8", "content-security-policy": policy };
  return { ...SHOWN_HEADERS, ...type };
}

async function hashOf(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return `sha256-${btoa(String.fromCharCode(...new Uint8Array(digest)))}`;
}
