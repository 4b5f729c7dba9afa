// How a page of the library's own is answered: one answer that holds everything, under a policy that lets nothing else in.
// Used by Monitoring, and by the registry for its page.

/** What goes along with all that is shown: it is neither kept nor guessed at, and not for pages of other origins. */
export const SHOWN_HEADERS: Readonly<Record<string, string>> = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
};

/**
 * Answers with a page.
 *
 * @param html All of it
 * @param script The one script in it, which makes no elements from text
 * @param style The one style sheet in it
 */
export async function htmlResponse(html: string, script: string, style: string): Promise<Response> {
  return new Response(html, { headers: await htmlHeaders(script, style) });
}

/** What goes along with a page, as {@linkcode htmlResponse} does. */
export async function htmlHeaders(script: string, style: string): Promise<Record<string, string>> {
  // Nothing comes from elsewhere, nothing goes elsewhere, and no text becomes markup.
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
