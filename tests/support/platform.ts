// Tests of what not every system has. Where it is missing they are skipped, and their names say why.

/** A test that sends signals to processes, or takes a path such as /tmp: for Linux and macOS. */
export function testOnPosix(name: string, fn: () => Promise<void> | void): void {
  const missing = Deno.build.os === "windows";
  Deno.test({
    name: missing ? `${name} [SKIPPED: Windows has no such signals and paths]` : name,
    ignore: missing,
    fn,
  });
}

/** A test of what Linux alone has, such as every address of 127.0.0.0/8, shared ports or ulimit. */
export function testOnLinux(name: string, fn: () => Promise<void> | void): void {
  const missing = Deno.build.os !== "linux";
  Deno.test({ name: missing ? `${name} [SKIPPED: needs Linux]` : name, ignore: missing, fn });
}
