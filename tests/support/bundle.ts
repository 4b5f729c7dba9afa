// Bundles of the library for runtimes other than Deno.

/**
 * A file and all that it imports as one for browsers, which Node can run too.
 *
 * @param entry Its path from this folder
 */
export async function bundle(entry: string, ...flags: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("deno", {
    args: ["bundle", entry, "--quiet", "--platform", "browser", ...flags],
    cwd: new URL(".", import.meta.url),
  }).output();
  if (!success) throw new Error(`Cannot bundle: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}
