// The alarm of a session looks at the calls that are due. If it looked at all, many deadlines would keep a core busy.

import { assertEquals, assertLess } from "@std/assert";
import { isRpcError } from "../../call/error.ts";
import type { SessionCall } from "../../session/session_call.ts";
import { connPair } from "../../testing/sim_conn.ts";
import { SimTime } from "../../testing/mod.ts";
import { Pair, Patient } from "../support/session_pair.ts";

const CALLS = 5_000;
/** How often the deadline of a call may be read, from its begin to its end. */
const MAX_LOOKS = 10;

/** Deadlines whose reads are counted. */
class Looks {
  count = 0;

  /** Replaces the deadline of a call by one whose reads are counted. */
  watch<C extends { readonly deadline: number }>(call: C): C {
    const { deadline } = call;
    return Object.defineProperty(call, "deadline", {
      get: () => {
        this.count++;
        return deadline;
      },
    });
  }
}

function callOf(deadline: number, reject: (error: unknown) => void): SessionCall {
  return {
    seq: 0,
    method: "S.wait",
    args: null,
    body: undefined,
    repeatable: false,
    deadline,
    signal: undefined,
    metadata: undefined,
    ownMetadata: undefined,
    recvStream: undefined,
    sendStream: undefined,
    resolve: () => {},
    reject,
  };
}

for (
  const [which, maxInFlight] of [["calls in flight", 2 * CALLS], ["calls that wait for room", 16]] as const
) {
  Deno.test(`due calls: of ${CALLS} ${which} an alarm looks at those that are due, on both sides`, async () => {
    using time = new SimTime();
    const waiting = new Patient();
    await using pair = new Pair(connPair(), { methods: { wait: waiting.wait }, limits: { maxInFlight } });
    const [caller, callee] = [new Looks(), new Looks()];
    const begin = pair.dialled.now();
    const codes: unknown[] = [];
    for (let n = 0; n < CALLS; n++) {
      // 733 is a prime: each time comes once, out of order.
      const deadline = begin + 1_000 + n * 733 % CALLS;
      const call = callOf(deadline, (error) => codes.push(isRpcError(error) && error.code));
      pair.dialled.call(caller.watch(call));
    }
    await time.tick(500);
    assertEquals([pair.dialled.pending, pair.accepted.running], [CALLS, Math.min(CALLS, maxInFlight)]);
    for (const call of pair.accepted.calls) callee.watch(call);
    await time.tick(1_000 + CALLS);
    assertEquals([pair.dialled.pending, pair.accepted.running], [0, 0]);
    assertEquals(codes, Array(CALLS).fill("deadline_exceeded"));
    assertLess(caller.count, MAX_LOOKS * CALLS);
    assertLess(callee.count, MAX_LOOKS * CALLS);
  });
}
