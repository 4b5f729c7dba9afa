// The certificates and keys of `certs/`.

/** The text of a file of `certs/`. */
export function pem(name: string): string {
  return Deno.readTextFileSync(new URL(`certs/${name}`, import.meta.url));
}
