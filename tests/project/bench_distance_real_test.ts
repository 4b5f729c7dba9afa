// The long line of bench:distance: real network namespaces, with a delay line between them.

import { assertEquals } from "@std/assert";
import type { Crossing } from "../../bench/crossing.ts";
import { FAR_HOST, Line, type LineOptions } from "../../bench/line.ts";
import { CONTESTANTS, prepare, ReadyContestant } from "../../bench/peers.ts";
import { Process } from "../../bench/process.ts";
import { type Load, loadOf } from "../../bench/workloads.ts";

async function reasonToSkip(): Promise<string> {
  try {
    await using _line = await Line.open({ rtt: 1, rate: 1e9 });
    return "";
  } catch (error) {
    return ` [SKIPPED: no long line can be made: ${(error as Error).message}]`;
  }
}

const skipped = await reasonToSkip();

/** Runs a load of the raw socket, or of this library, over a line. */
async function run(
  name: "socket" | "troodon",
  options: LineOptions,
  partial: Pick<Load, "kind"> & Partial<Load>,
): Promise<Crossing> {
  const ready = await prepare(CONTESTANTS.find((each) => each.name === name)!, "");
  if (!(ready instanceof ReadyContestant)) throw new Error(ready);
  await using line = await Line.open(options);
  const load = loadOf({ ...partial, host: FAR_HOST, warm: 0.3, seconds: 0.5 });
  await using server = new Process(line.far(ready.server(load)), []);
  const { port } = await server.next<{ port: number }>();
  await using client = new Process(line.near(ready.client(load, port)), []);
  return await client.next<Crossing>();
}

Deno.test({
  name: `bench distance: a line delays each packet by half of its round trip${skipped}`,
  ignore: skipped !== "",
  async fn() {
    const rtt = 60;
    const { p50 } = await run("socket", { rtt, rate: 1e9 }, { kind: "first" });
    // One round trip for the connection, one for the call.
    assertEquals(p50! >= 2 * rtt, true, `${p50} ms`);
  },
});

Deno.test({
  name: `bench distance: a line carries no more than its rate${skipped}`,
  ignore: skipped !== "",
  async fn() {
    const { p50 } = await run("socket", { rtt: 0, rate: 1e5 }, { kind: "first" });
    // The two segments that open the connection have at least 40 bytes, the call 68, and the response 60.
    assertEquals(p50! >= (40 + 40 + 68 + 60) * 8 / 1e5 * 1_000, true, `${p50} ms`);
  },
});

Deno.test({
  name: `bench distance: every load runs over a line${skipped}`,
  ignore: skipped !== "",
  async fn() {
    for (const kind of ["down", "up", "bulk", "echoes"] as const) {
      const load = { kind, bytes: 4_096, outstanding: 2 };
      const { rate } = await run("troodon", { rtt: 10, rate: 1e8 }, load);
      assertEquals(rate! > 0, true, kind);
    }
  },
});
