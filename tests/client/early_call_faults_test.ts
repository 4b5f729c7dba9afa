// Calls that leave with the handshake, while connections are cut and reset at any moment: what their errors claim is true.

import { assert, assertEquals } from "@std/assert";
import { connect, MultiServers, RpcError, Server } from "../../mod.ts";
import { simulate, type Simulation } from "../../testing/mod.ts";

/** Makes 20 calls over a line that is cut again and again. Returns how many ended in which way. */
async function run({ network, random, sleep }: Simulation): Promise<Record<string, number>> {
  const executed = new Map<number, number>();
  const servers = await Promise.all(["one", "two"].map(async (name) => {
    const server = new Server({
      network: network.host(name),
      authenticate: async () => {
        await sleep(random() * 30);
        return random() < 0.8;
      },
    }).register("S", { mark: (id: number) => void executed.set(id, (executed.get(id) ?? 0) + 1) });
    await server.listen(`tcp@${name}:1`);
    return server;
  }));
  network.shape({ delay: [5, 15], chunk: 64 });
  const counts: Record<string, number> = {};
  for (let id = 0; id < 20; id++) {
    const alone = random() < 0.5;
    const list = alone ? ["tcp@one:1"] : ["tcp@one:1", "tcp@two:1"];
    await using client = await connect(new MultiServers(list), { network: network.host("client") });
    const idempotent = random() < 0.5;
    const cutting = sleep(random() * 100).then(() => network.cut("client"));
    const outcome = await client.call("S.mark", id, { idempotent, timeout: 200 }).then(
      () => "ok",
      (error) => {
        assert(error instanceof RpcError, Deno.inspect(error));
        return error.notStarted ? "not started" : "unknown";
      },
    );
    await cutting;
    // What is on its way arrives.
    await sleep(200);
    const times = executed.get(id) ?? 0;
    if (outcome === "ok") assert(times > 0, "it was not executed");
    if (outcome === "not started") assertEquals(times, 0, "it was executed");
    if (!idempotent) assert(times <= 1, `it was executed ${times} times`);
    counts[outcome] = (counts[outcome] ?? 0) + 1;
  }
  for (const server of servers) await server.close();
  return counts;
}

Deno.test("early call: over a line that is cut at any moment, no error claims what is not so", async () => {
  const total: Record<string, number> = {};
  for (let seed = 1; seed <= 25; seed++) {
    const counts = await simulate(run, { seed });
    for (const [outcome, count] of Object.entries(counts)) total[outcome] = (total[outcome] ?? 0) + count;
  }
  for (const outcome of ["ok", "not started", "unknown"]) {
    assert((total[outcome] ?? 0) > 10, `${outcome}: ${Deno.inspect(total)}`);
  }
});
