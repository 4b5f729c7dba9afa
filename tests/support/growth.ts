// How the cost of something grows with its size, as a ratio within one run: no bound in ms holds on a busy machine.

import { assert } from "@std/assert";

const FACTOR = 8;
/** What caches and the collector may make of a ratio of 1 while work is linear; quadratic work comes to 8. */
const LINEAR = 3.75;
const ROUNDS = 25;

function timeOf(run: () => void): number {
  const began = performance.now();
  run();
  return performance.now() - began;
}

/**
 * Shows that `run` takes linear time: eight times `size` does not take much longer than `size` eight times in a row. Both take
 * about as long, so a machine that is busy with other programs interrupts the one as often as the other.
 */
export function assertLinear(run: (size: number) => void, size: number): void {
  // Neither is measured before it is compiled.
  run(FACTOR * size);
  let [small, large] = [Infinity, Infinity];
  // The best of several: whatever else the machine does only adds to a time.
  for (let round = 0; round < ROUNDS; round++) {
    small = Math.min(
      small,
      timeOf(() => {
        for (let times = 0; times < FACTOR; times++) run(size);
      }),
    );
    large = Math.min(large, timeOf(() => run(FACTOR * size)));
    if (round > 0 && large < LINEAR * small) return;
  }
  assert(
    false,
    `${FACTOR} times a size of ${size} took ${small} ms, a size of ${FACTOR * size} took ${large} ms`,
  );
}
