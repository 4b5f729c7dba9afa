// What a server tells of itself: in `stats()` and on its debug page.

import type { MethodStats } from "../call/stats.ts";
import type { LimitStats } from "../transport/tally.ts";

/** What a server has done so far. */
export interface ServerStats {
  /** Connections that are open. */
  readonly connections: number;
  /** Connections accepted since the start. */
  readonly accepted: number;
  /** Connections refused, or lost before their handshake was done. */
  readonly refused: number;
  /** Calls whose handlers have not returned. */
  readonly inFlight: number;
  /** How often limits were met. */
  readonly limits: LimitStats;
  /** Every method, in the order in which they were registered. */
  readonly methods: readonly MethodStats[];
}
