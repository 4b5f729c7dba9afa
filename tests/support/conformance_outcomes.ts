// What a run of the conformance cases has to come to.

import { assertEquals } from "@std/assert";
import { casesOf } from "../../conformance/cases.ts";
import type { Outcome } from "../../conformance/run.ts";

/** All cases passed; of those that were skipped, each says what is not there. */
export function assertPassed(
  outcomes: readonly Outcome[],
  role: "server" | "client",
  skipped: readonly string[],
): void {
  const failed = outcomes.filter(({ outcome }) => outcome === "failed");
  assertEquals(failed.map(({ id, reason, trace }) => `${id}: ${reason}\n${trace?.join("\n")}`), []);
  assertEquals(outcomes.length, casesOf(role).length);
  assertEquals(outcomes.filter(({ outcome }) => outcome === "skipped").map(({ id }) => id), skipped);
}
