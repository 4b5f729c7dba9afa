// How the cost of something grows with its size, as a ratio within one run: no bound in ms holds on a busy machine.

import { assert } from "@std/assert";

const FACTOR = 8;
/** What caches and the collector may make of a ratio of 8 while work is linear; quadratic work comes to 64. */
const LINEAR = 30;
const ROUNDS = 25;

function timeOf(run: () => void): number {
  const began = performance.now();
  run();
  return performance.now() - began;
}

/** Shows that `run` takes linear time: eight times `size` does not take much more than eight times as long. */
export function assertLinear(run: (size: number) => void, size: number): void {
  let [small, large] = [Infinity, Infinity];
  // The best of several: whatever else the machine does only adds to a time.
  for (let round = 0; round < ROUNDS; round++) {
    small = Math.min(small, timeOf(() => run(size)));
    large = Math.min(large, timeOf(() => run(FACTOR * size)));
    if (round > 0 && large < LINEAR * small) return;
  }
  assert(false, `${small} ms for a size of ${size}, ${large} ms for ${FACTOR} times as much`);
}
