// The Workers of examples/workers, run by workerd, the runtime of Cloudflare Workers.

import { assertEquals } from "@std/assert";
import { Server } from "../../mod.ts";
import { bundle } from "../support/bundle.ts";
import { missing } from "../support/programs.ts";

const WORKERD = "workerd";
const EXAMPLES = new URL("../../examples/workers/", import.meta.url);

const skipped = await missing(WORKERD);

/** Runs both Workers, and passes their ports to `use`. */
async function withWorkers(
  server: string,
  use: (ports: Record<string, number>) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  for (const name of ["request", "object"]) {
    await Deno.writeTextFile(`${folder}/${name}.js`, await bundle(`../../examples/workers/${name}.ts`));
  }
  await Deno.copyFile(new URL("workerd.capnp", EXAMPLES), `${folder}/workerd.capnp`);
  const process = new Deno.Command(WORKERD, {
    args: [
      "serve",
      "--control-fd=1",
      "--socket-addr=request=127.0.0.1:0",
      "--socket-addr=object=127.0.0.1:0",
      "workerd.capnp",
    ],
    cwd: folder,
    env: { SERVER: server },
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  try {
    const ports: Record<string, number> = {};
    const lines = process.stdout.pipeThrough(new TextDecoderStream());
    let text = "";
    for await (const part of lines) {
      text += part;
      for (const line of text.split("\n").slice(0, -1)) {
        const { event, socket, port } = JSON.parse(line);
        if (event === "listen") ports[socket] = port;
      }
      if (Object.keys(ports).length === 2) break;
    }
    await use(ports);
  } finally {
    process.kill();
    await process.status;
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test({
  name: `workers: a Worker connects for each request, a Durable Object once for all${skipped}`,
  ignore: skipped !== "",
  async fn() {
    await using server = new Server().register("Greeter", { greet: (name: string) => `Hello, ${name}!` });
    await using web = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, server.fetch);
    await withWorkers(`ws@127.0.0.1:${web.addr.port}`, async (ports) => {
      const greet = async (worker: string, name: string) => {
        return await (await fetch(`http://127.0.0.1:${ports[worker]}/?name=${name}`)).text();
      };
      assertEquals(
        [await greet("request", "a"), await greet("request", "b"), server.stats().accepted],
        ["Hello, a!", "Hello, b!", 2],
      );
      assertEquals(
        [await greet("object", "c"), await greet("object", "d"), server.stats().accepted],
        ["Hello, c!", "Hello, d!", 3],
      );
    });
  },
});
