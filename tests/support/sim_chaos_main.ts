// deno-lint-ignore-file no-console -- it is a program
// Chaos by hand: many seeds, a line each, and a failing exit code if one of them fails.

import { simulate, SimulationError } from "../../testing/mod.ts";
import { Chaos } from "./sim_chaos.ts";

const [from = "1", to = from, weather = "harsh"] = Deno.args;
const [first, last] = [Number(from), Number(to)];
if (
  !Number.isSafeInteger(first) || !Number.isSafeInteger(last) || weather !== "harsh" && weather !== "mild"
) {
  console.error(
    "Usage: deno task chaos [FROM [TO [harsh|mild]]], with the numbers of the first and last seed",
  );
  Deno.exit(2);
}

let failed = 0;
for (let seed = first; seed <= last; seed++) {
  const began = performance.now();
  try {
    const { calls, ok, faults } = await simulate((sim) => new Chaos(sim, weather).run(600_000), { seed });
    const took = ((performance.now() - began) / 1_000).toFixed(1);
    console.log(`seed ${seed}: ${calls} calls, ${ok} answered, ${faults} faults, in ${took} s`);
  } catch (error) {
    if (!(error instanceof SimulationError)) throw error;
    failed++;
    console.log(`seed ${seed}: ${first === last ? error.stack : error.message.split("\n", 1)[0]}`);
  }
}
console.log(`${failed} of ${last - first + 1} seeds failed`);
if (failed > 0) Deno.exit(1);
