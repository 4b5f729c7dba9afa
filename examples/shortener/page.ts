// The HTML of the web page: a form, and a message about the last request.

const SPECIAL: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Escapes a text for HTML content and attributes. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => SPECIAL[character]!);
}

/** Renders the page with the form, and above it a paragraph of HTML. */
export function page(paragraph = ""): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Shortener</title>
<style>:root { color-scheme: light dark } body { font: 1.1rem system-ui; max-width: 40rem; margin: 4rem auto; padding: 0 1rem }</style>
<h1>Shortener</h1>
${paragraph === "" ? "" : `<p>${paragraph}</p>\n`}<form method="post" action="/add">
<label>Long URL <input type="url" name="url" size="40" required autofocus></label>
<button>Shorten</button>
</form>
</html>
`;
}

/** Headers of every page: no resources from elsewhere, and no scripts. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
};
