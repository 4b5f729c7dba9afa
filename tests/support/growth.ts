// How the cost of something grows with its size, as a ratio within one run: no bound in ms holds on a busy machine.

import { assert } from "@std/assert";

/** What a machine may add to a ratio of 4 before it counts as more than linear; quadratic work comes to 16. */
const LINEAR = 10;
const ROUNDS = 25;

function timeOf(run: () => void): number {
  const began = performance.now();
  run();
  return performance.now() - began;
}

/** Shows that `run` takes linear time: four times `size` does not take much more than four times as long. */
export function assertLinear(run: (size: number) => void, size: number): void {
  let [small, large] = [Infinity, Infinity];
  // The best of several: whatever else the machine does only adds to a time.
  for (let round = 0; round < ROUNDS; round++) {
    small = Math.min(small, timeOf(() => run(size)));
    large = Math.min(large, timeOf(() => run(4 * size)));
    if (round > 0 && large < LINEAR * small) return;
  }
  assert(false, `${small} ms for a size of ${size}, ${large} ms for four times as much`);
}
