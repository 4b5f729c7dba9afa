// The registry as a program that keeps its list in etcd.

import { assertEquals } from "@std/assert";
import { announce } from "../../registry/announce.ts";
import { Etcd, etcdPresent, etcdSkipped } from "../support/etcd_process.ts";
import { until } from "../support/waiting.ts";
import { command, readLine } from "../support/registry_process.ts";

Deno.test({
  name: `registry program: over etcd, no server is lost when one of two registries is killed${etcdSkipped}`,
  ignore: !etcdPresent,
  async fn() {
    await using etcd = await Etcd.start();
    const start = async () => {
      const process = command(["--port=0", `--store=etcd@${etcd.url}`]).spawn();
      const stderr = process.stderr.cancel();
      const reader = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
      const url = (await readLine(reader)).split(" ")[3]!;
      const stop = async (signal: Deno.Signal) => {
        process.kill(signal);
        await Promise.all([process.status, reader.cancel(), stderr]);
      };
      return { url, stop };
    };
    const [one, two] = await Promise.all([start(), start()]);
    const address = "tcp@127.0.0.1:1";
    const registration = await announce([one.url, two.url], { address }, { ttl: 3_000 });
    const listed = async () => (await fetch(two.url).then((response) => response.json())).servers.length;
    await until(async () => await listed() === 1, "the other to know");
    await one.stop("SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, 4_500));
    assertEquals(await listed(), 1);
    await registration.close();
    await two.stop("SIGTERM");
  },
});
