// Programs that real tests (`*_real_test.ts`) run besides Deno. Where one is missing, its tests are skipped, and their
// titles say so.

/** The arguments by which programs print their version, where that is not `--version`. */
const VERSION: Readonly<Record<string, string[]>> = {
  caddy: ["version"],
  go: ["version"],
  haproxy: ["-v"],
  nginx: ["-v"],
  openssl: ["version"],
};

/** Whether a program is installed: with `args` it ends with code 0. */
export async function installed(
  command: string,
  args: readonly string[] = VERSION[command] ?? ["--version"],
): Promise<boolean> {
  try {
    const program = new Deno.Command(command, { args: [...args], stdout: "null", stderr: "null" });
    return (await program.output()).success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** What the title of a test ends in if a program that it needs is missing; empty if it is installed. */
export async function missing(command: string): Promise<string> {
  return await installed(command) ? "" : ` [SKIPPED: ${command} is not installed]`;
}

/** A port of 127.0.0.1 that nothing listens on, for a program that cannot choose one itself. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
