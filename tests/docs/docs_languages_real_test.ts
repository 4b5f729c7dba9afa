// docs/OTHER_LANGUAGES.md: its first example, a call in Python without a library, against a server of this library.

import { assertEquals } from "@std/assert";
import { Server } from "../../mod.ts";
import { blocksOf, readText } from "../support/markdown.ts";
import { missing } from "../support/programs.ts";
import { portOf } from "../support/wire_harness.ts";

const skipped = await missing("python3");

Deno.test({
  name: `docs/OTHER_LANGUAGES.md: the call in Python is answered${skipped}`,
  ignore: skipped !== "",
  async fn() {
    await using server = new Server().register("Arith", {
      sum: ({ a, b }: { a: number; b: number }) => a + b,
    });
    const port = portOf((await server.listen("tcp@127.0.0.1:0")).address);
    const call = blocksOf(readText("docs/OTHER_LANGUAGES.md")).find(({ info }) => info === "python")!;
    const args = ["-c", call.code.replace("9000", String(port))];
    const { stdout, stderr } = await new Deno.Command("python3", { args }).output();
    const [line, , reply] = new TextDecoder().decode(stdout).split("\n");
    assertEquals(new TextDecoder().decode(stderr), "");
    assertEquals(JSON.parse(line!).codecType, "application/json");
    assertEquals(reply, "820201 3");
  },
});
