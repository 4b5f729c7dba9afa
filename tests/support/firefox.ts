// Headless Firefox ESR. Tests with it are skipped, and their names say so, where it is missing.

import { installed } from "./programs.ts";

const FIREFOX = "firefox-esr";

/** Whether there is a Firefox to test with. */
export const firefoxPresent: boolean = await installed(FIREFOX);
/** For the names of tests. */
export const firefoxSkipped: string = firefoxPresent ? "" : ` [SKIPPED: ${FIREFOX} cannot be run]`;

/** Opens a page until the result is disposed of. */
export async function visitWithFirefox(url: string): Promise<AsyncDisposable> {
  const profile = await Deno.makeTempDir({ prefix: "firefox-" });
  const child = new Deno.Command(FIREFOX, {
    args: ["--headless", "--profile", profile, url],
    env: { HOME: profile },
    stdout: "null",
    stderr: "null",
  }).spawn();
  return {
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
      await Deno.remove(profile, { recursive: true }).catch(() => {});
    },
  };
}
