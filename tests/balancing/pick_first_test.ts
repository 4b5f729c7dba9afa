// A balancer that does not spread calls keeps the contract of every balancer, alone and behind slow start.

import { slowStart } from "../../balancing/slow_start.ts";
import type { Balancer } from "../../discovery/balancer.ts";
import type { Endpoint } from "../../discovery/endpoint.ts";
import { seeded } from "../support/random.ts";
import { testBalancer } from "../support/contracts/balancer.ts";

/** Picks the first server that a call may go to, as a user's balancer for a primary and its standbys does. */
function pickFirst(): Balancer {
  let list: readonly Endpoint[] = [];
  return {
    update: (endpoints) => void (list = endpoints),
    pick: ({ exclude }) => list.find(({ address }) => exclude?.has(address) !== true),
  };
}

testBalancer("pick_first", pickFirst);
testBalancer("slow start of pick_first", () => slowStart(pickFirst(), { random: seeded(1) }));
