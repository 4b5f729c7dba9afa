// The list of requests that are awaited: what is left in it when some have arrived.

import { assertEquals } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { Arrivals, type Arriving } from "../../server/arrivals.ts";

const ended = new RpcError("unavailable", "The server is shutting down");

Deno.test("arrivals: requests that have arrived are not ended with the server, and the others are", () => {
  const arrivals = new Arrivals();
  const over: string[] = [];
  const request = (name: string): Arriving => ({
    due: Infinity,
    slot: -1,
    onOverdue: (reason) => over.push(`${name} ${reason?.code}`),
  });
  const [a, b, c, d] = [request("a"), request("b"), request("c"), request("d")] as const;
  for (const each of [a, b, c, d]) arrivals.add(each, performance.now());
  // The last one takes the place of each.
  for (const each of [a, a, d, a]) arrivals.delete(each);
  arrivals.close(ended);
  assertEquals(over.toSorted(), ["b unavailable", "c unavailable"]);
  over.length = 0;
  arrivals.add(a, performance.now());
  assertEquals(over, ["a unavailable"]);
});
