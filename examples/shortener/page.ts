// The HTML of the front: one form, and a line about what came of it.

const SPECIAL: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Makes a text one that says the same between tags and in attributes. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => SPECIAL[character]!);
}

/** The page with the form, and above it a paragraph, which is HTML already. */
export function page(paragraph = ""): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Shortener</title>
<style>body { font: 1.1rem system-ui; max-width: 40rem; margin: 4rem auto; padding: 0 1rem }</style>
<h1>Shortener</h1>
${paragraph === "" ? "" : `<p>${paragraph}</p>\n`}<form method="post" action="/add">
<label>A long URL <input type="url" name="url" size="40" required autofocus></label>
<button>Shorten</button>
</form>
</html>
`;
}

/** What is sent with every page: nothing on it comes from elsewhere, and no script runs. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
};
