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

/** Whether a program can be run: with `args` it ends with code 0. */
export async function installed(
  command: string,
  args: readonly string[] = VERSION[command] ?? ["--version"],
): Promise<boolean> {
  try {
    const program = new Deno.Command(command, { args: [...args], stdout: "null", stderr: "null" });
    return (await program.output()).success;
  } catch (error) {
    // Under `deno test -P=test FOLDER` they may not be run.
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotCapable) return false;
    throw error;
  }
}

/** What the title of a test ends in if a program that it needs cannot be run; otherwise empty. */
export async function missing(command: string): Promise<string> {
  return await installed(command) ? "" : ` [SKIPPED: ${command} cannot be run]`;
}

/**
 * A port of 127.0.0.1 that nothing listens on, for a program that cannot choose one itself. It is below the range from which
 * systems choose ports for connections (from 32768 on Linux, from 49152 elsewhere), so no connection of another test takes it.
 */
export function freePort(): number {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}
