// The cluster example as a user runs it, with the permissions that its task gives it, in short.

import { assertEquals, assertMatch } from "@std/assert";
import { testOnPosix } from "../support/platform.ts";

testOnPosix(
  "cluster: one killed, one joins, all restart, and no call that may be repeated fails",
  async () => {
    const { code, stdout } = await new Deno.Command("deno", {
      args: ["run", "-P=cluster", "examples/cluster/main.ts", "--rounds=1", "--seconds=1", "--rate=200"],
      cwd: new URL("../..", import.meta.url),
      stderr: "null",
    }).output();
    const output = new TextDecoder().decode(stdout);
    // A call that may not be repeated and is under way when its server is killed, as this phase ends, has no answer.
    assertMatch(output, /^three, one of them slow +\d+ +0(\+\d+)? /m);
    assertMatch(output, /^cleo joins +\d+ +0 /m);
    assertMatch(output, /^0 idempotent calls failed; 0 other calls were executed twice/m);
    assertEquals(code, 0);
  },
);
