// Random faults for ten simulated minutes a seed. A failure names its seed: run that alone to see it again.

import { assert } from "@std/assert";
import { simulate, type Simulation } from "../../testing/mod.ts";
import { Chaos, type Weather } from "../support/sim_chaos.ts";

const MINUTES = 10;
const SEEDS: Readonly<Record<Weather, readonly number[]>> = { harsh: [1, 2, 3], mild: [1] };

for (const weather of ["harsh", "mild"] as const) {
  for (const seed of SEEDS[weather]) {
    Deno.test(`chaos: ${MINUTES} minutes of ${weather} weather, with seed ${seed}`, async () => {
      const run = (sim: Simulation) => new Chaos(sim, weather).run(MINUTES * 60_000);
      const counts = await simulate(run, { seed, traceLimit: 100 });
      // Otherwise nothing was tested.
      const rough = counts.failed > 100 && counts.faults > 200 && counts.ok > 500;
      const calm = counts.failed === 0 && counts.faults > 100 && counts.ok > 1_000;
      assert(weather === "harsh" ? rough : calm, Deno.inspect(counts));
    });
  }
}
