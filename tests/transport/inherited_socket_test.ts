// Listening on a socket that another process has opened.

import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { connect } from "../../client/mod.ts";
import { ownAddress } from "../../registry/own_address.ts";
import { Server } from "../../server/mod.ts";
import { simulate } from "../../testing/mod.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { testOnPosix } from "../support/platform.ts";

const MAIN = new URL("../support/inherited_main.ts", import.meta.url).href;

testOnPosix(
  "fd@: a server takes over an inherited socket from another one, and clients that connect meanwhile wait",
  async () => {
    const directory = await Deno.makeTempDir();
    const path = `${directory}/rpc.sock`;
    try {
      const { stdout, stderr } = await new Deno.Command("deno", {
        args: [
          "run",
          "--no-check",
          `--allow-net=unix:${path}`,
          `--allow-read=${directory}`,
          `--allow-write=${directory}`,
          "--allow-run=sh",
          "--allow-env",
          MAIN,
          "parent",
          path,
        ],
      }).output();
      const text = new TextDecoder().decode(stdout);
      assertMatch(text, /^\{/, new TextDecoder().decode(stderr));
      const bound = { address: "fd@4", addresses: ["fd@4"], peer: "fd@4" };
      assertEquals(JSON.parse(text), {
        one: { name: "one", ...bound },
        large: true,
        drained: "one",
        two: { name: "two", ...bound },
        moved: "two",
        code: 0,
      });
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
);

testOnPosix("fd@: a descriptor that is closed or not a socket to listen on is refused", async () => {
  const script = `
    import { Server } from "${new URL("../../server/mod.ts", import.meta.url).href}";
    await new Server().listen(Deno.args[0]).catch((error) => console.log(error.message));`;
  for (const [fd, redirected] of [[3, "3<&-"], [3, "3</dev/null"], [99, ""]] as const) {
    const command = `echo '${script}' | deno run --no-check --no-prompt --quiet - fd@${fd} ${redirected}`;
    const { stdout } = await new Deno.Command("sh", { args: ["-c", command], stderr: "null" }).output();
    assertEquals(
      new TextDecoder().decode(stdout),
      `Cannot listen on fd@${fd}: file descriptor ${fd} is not a listening TCP or Unix socket; ` +
        "systemd passes sockets of the .socket unit from 3 on\n",
    );
  }
});

Deno.test("fd@: what is no descriptor of a socket is refused, with the reason", async () => {
  await using server = new Server();
  for (const address of ["fd@", "fd@2", "fd@03", "fd@-1", "fd@3/path", "fd@1000000"]) {
    await assertRejects(
      () => server.listen(address),
      TypeError,
      `Cannot listen on "${address}": expected a file descriptor, such as fd@3, the first socket of systemd`,
    );
  }
  await assertRejects(
    () => server.listen("fd@3", { reusePort: true }),
    TypeError,
    "Cannot listen on fd@3: only ports can be shared, and on Linux alone (reusePort)",
  );
  await assertRejects(
    () => connect("fd@3"),
    TypeError,
    "fd@ is for listening on an inherited socket; clients use the address of that socket",
  );
});

Deno.test("fd@: a simulated network has no inherited sockets", async () => {
  await simulate(async ({ network }) => {
    await using server = new Server({ network: network.host("a") });
    await assertRejects(
      () => server.listen("fd@3"),
      TypeError,
      "Cannot listen on fd@3: the option network has no inherited sockets",
    );
  });
});

Deno.test("announce: an inherited Unix socket does not hide the address of the same server over TCP", async () => {
  const own = await ownAddress({
    addresses: ["fd@3", "tcp@10.0.0.7:9000"],
    registries: [],
    timeout: 1,
    clock: new FakeClock(),
    random: () => 0,
    signal: undefined,
  });
  assertEquals(own, "tcp@10.0.0.7:9000");
});
