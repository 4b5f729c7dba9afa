// The certificates and keys of `tests/certs/`.

/** The text of a file of `tests/certs/`. */
export function pem(name: string): string {
  return Deno.readTextFileSync(new URL(`../certs/${name}`, import.meta.url));
}
