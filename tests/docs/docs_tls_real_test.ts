// docs/TLS.md: the certificate that its command makes is one with which a server and a client understand each other.

import { assertEquals, assertMatch } from "@std/assert";
import { connect } from "../../client/connect.ts";
import { Server } from "../../server/server.ts";
import { Shell } from "../support/docs_shell.ts";
import { blocksOf, readText } from "../support/markdown.ts";
import { missing } from "../support/programs.ts";

const commands = blocksOf(readText("docs/TLS.md")).filter(({ info }) => info === "sh").map(({ code }) =>
  code
);
const skipped = await missing("openssl");

Deno.test({
  name: `docs: the commands of TLS.md make what they should${skipped}`,
  ignore: skipped !== "",
  async fn() {
    const folder = await Deno.makeTempDir();
    try {
      await using shell = new Shell(folder);
      const [certificate = "", token = ""] = commands;
      await shell.run(certificate);
      assertMatch(await shell.run(token), /^[0-9a-f]{64}\n$/);
      const [cert, key] = await Promise.all(
        ["cert", "key"].map((name) => Deno.readTextFile(`${folder}/${name}.pem`)),
      );
      await using server = new Server({ tls: { cert: cert!, key: key! } }).register("Echo", {
        echo: (value: unknown) => value,
      });
      const { address } = await server.listen("tls@localhost:0");
      await using client = await connect(address, { tls: { caCerts: [cert!] } });
      assertEquals(await client.call("Echo.echo", "in private"), "in private");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
