// Random faults for ten simulated minutes a seed. A failure names its seed: run that alone to see it again.

import { assert } from "@std/assert";
import { simulate } from "../testing/mod.ts";
import { Chaos } from "./sim_chaos.ts";

const MINUTES = 10;
const SEEDS = [1, 2, 3, 4, 5, 6];

for (const seed of SEEDS) {
  Deno.test(`chaos: ${MINUTES} minutes of faults, with seed ${seed}`, async () => {
    const tally = await simulate((sim) => new Chaos(sim).run(MINUTES * 60_000), { seed, traceLimit: 100 });
    // Otherwise nothing was tested.
    assert(
      tally.calls > 1_000 && tally.ok > 500 && tally.failed > 100 && tally.faults > 200,
      Deno.inspect(tally),
    );
  });
}
