// What a caller may count on, seen from the wire: one answer a call, deadlines, cancellation, the limit on calls in
// flight, and half-close. Over memory and TCP.

import { assert, assertEquals } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { call, cancel, headerOf, Kind } from "../support/frames.ts";
import { seeded } from "../support/random.ts";
import { bodyOf, bytes, cbor, type Frame, frame } from "../support/raw_peer.ts";
import { soon, until } from "../support/waiting.ts";
import {
  assertLives,
  ECHO,
  overBoth,
  overSimulated,
  pingPong,
  type Services,
} from "../support/wire_harness.ts";

const NOT_STARTED = new Map([["not-started", ""]]);

/** The parts of a handler's context that these tests read. */
interface Context {
  signal: AbortSignal;
  deadline: number;
}

/** A service whose calls wait until they are let go, in the order in which they came. */
function gated() {
  const waiting: PromiseWithResolvers<unknown>[] = [];
  const contexts: Context[] = [];
  const services: Services = {
    ...ECHO,
    Slow: {
      call: (_: unknown, context: Context) => {
        const gate = Promise.withResolvers<unknown>();
        waiting.push(gate);
        contexts.push(context);
        return gate.promise;
      },
    },
  };
  return { services, waiting, contexts };
}

/** Resolves with the reason when the signal aborts. */
function aborted({ signal }: Context): Promise<RpcError> {
  if (signal.aborted) return Promise.resolve(signal.reason);
  return soon(
    new Promise((resolve) => signal.addEventListener("abort", () => resolve(signal.reason))),
    "the abort",
  );
}

overBoth("calls: answers come in the order in which handlers finish, each with its own", async (open) => {
  const { services, waiting } = gated();
  await using wire = await open(services);
  const { peer } = wire;
  const seqs = Array.from({ length: 100 }, (_, i) => 2 * i + 1);
  await peer.send(...seqs.map((seq) => call(seq, "Slow.call")));
  await until(() => waiting.length === 100, "all to be started");
  const random = seeded(3);
  const order = seqs.map((seq) => ({ seq, key: random() })).sort((a, b) => a.key - b.key).map(({ seq }) =>
    seq
  );
  for (const seq of order) waiting[(seq - 1) / 2]!.resolve(seq * 1_000);
  const replies = await peer.frames(100);
  assertEquals(replies.map(({ seq }) => seq), order);
  assertEquals(replies.map(bodyOf), order.map((seq) => seq * 1_000));
});

overBoth("calls: any error thrown by a handler is one internal error without details", async (open) => {
  const nasty = {
    get message() {
      throw new Error("a secret");
    },
  };
  const thrown: unknown[] = [
    new Error("a secret"),
    "a secret",
    null,
    undefined,
    nasty,
    { code: "internal", message: "a secret" },
    new RpcError("not_found", "Shown ☺", { details: { a: 1 } }),
    new RpcError("aborted", "No details", { details: () => {} }),
    new RpcError("internal", "x".repeat(10_000)),
    // A handler cannot say of itself that it was not started.
    new RpcError("unavailable", "Elsewhere", { notStarted: true }),
  ];
  await using wire = await open({
    ...ECHO,
    Bad: {
      sync: (i: number) => {
        throw thrown[i];
      },
      later: (i: number) => Promise.reject(thrown[i]),
    },
  });
  const { peer } = wire;
  for (
    const [i, method] of thrown.flatMap((_, i) => [[i, "Bad.sync"], [i, "Bad.later"]] as const).entries()
  ) {
    const seq = 4 * i + 1;
    await peer.send(call(seq, method[1], method[0]));
    const error = (await peer.frame())!;
    const [kind, at, code, message, metadata] = error.header;
    assertEquals({ kind, at, metadata }, { kind: Kind.error, at: seq, metadata: undefined });
    assert(!String(message).includes("secret"), String(message));
    const expected: string[] = ["not_found", "aborted", "internal", "unavailable"];
    assertEquals(code, method[0] < 6 ? "internal" : expected[method[0] - 6]);
    if (code === "not_found") assertEquals([message, bodyOf(error)], ["Shown ☺", new Map([["a", 1]])]);
    else assertEquals(error.body.length, 0);
    if (method[0] === 8) assertEquals(message, "x".repeat(8_192));
    await assertLives(peer, seq + 2);
  }
});

overBoth("calls: a canceled call aborts its handler and is not answered", async (open) => {
  const { services, waiting, contexts } = gated();
  await using wire = await open(services);
  const { peer } = wire;
  await peer.send(call(1, "Slow.call"), call(3, "Slow.call"));
  await until(() => waiting.length === 2, "both to be started");
  const reason = aborted(contexts[0]!);
  await peer.send(cancel(1), cancel(1));
  assertEquals((await reason).code, "canceled");
  waiting[0]!.resolve("too late");
  assertEquals(contexts[1]!.signal.aborted, false);
  assertEquals(await pingPong(peer, 1), []);
  waiting[1]!.resolve("in time");
  assertEquals((await peer.frame())?.header, headerOf.reply(3));
});

overBoth("calls: a signal that is first read after the abort has aborted", async (open) => {
  const { services, waiting, contexts } = gated();
  await using wire = await open(services);
  await wire.peer.send(call(1, "Slow.call"), cancel(1));
  await pingPong(wire.peer, 1);
  const { signal } = contexts[0]!;
  assertEquals({ aborted: signal.aborted, code: signal.reason.code }, { aborted: true, code: "canceled" });
  waiting[0]!.resolve(1);
});

overBoth(
  "calls: a call above the limit is refused at once as not started, and there is room again afterwards",
  async (open) => {
    const { services, waiting } = gated();
    await using wire = await open(services, { maxInFlight: 16 });
    const { peer } = wire;
    const seqs = Array.from({ length: 20 }, (_, i) => 2 * i + 1);
    await peer.send(...seqs.map((seq) => call(seq, "Slow.call")));
    for (const [i, { header }] of (await peer.frames(4)).entries()) {
      assertEquals([header.slice(0, 3), header[4]], [
        headerOf.error(seqs[16 + i]!, "resource_exhausted"),
        NOT_STARTED,
      ]);
    }
    assertEquals(waiting.length, 16);
    waiting[0]!.resolve(1);
    assertEquals((await peer.frame())?.header, headerOf.reply(1));
    await assertLives(peer, 101);
    for (const gate of waiting) gate.resolve(1);
    assertEquals((await peer.frames(15)).length, 15);
    await peer.send(...seqs.slice(0, 16).map((seq) => call(200 + seq, "Slow.call")));
    await until(() => waiting.length === 32, "the room to be back in full");
    for (const gate of waiting) gate.resolve(1);
    await peer.frames(16);
  },
);

overBoth("calls: a canceled call holds its slot until its handler returns", async (open) => {
  const { services, waiting } = gated();
  await using wire = await open(services, { maxInFlight: 16 });
  const { peer } = wire;
  const seqs = Array.from({ length: 16 }, (_, i) => 2 * i + 1);
  await peer.send(...seqs.flatMap((seq) => [call(seq, "Slow.call"), cancel(seq)]), call(33, "Echo.echo"));
  const refused = (await peer.frame())!;
  assertEquals(refused.header.slice(0, 3), headerOf.error(33, "resource_exhausted"));
  waiting[3]!.reject(new Error("canceled"));
  await pingPong(peer, 1);
  await assertLives(peer, 35);
  for (const gate of waiting) gate.resolve(0);
});

overSimulated("calls: an expired call holds its slot until its handler returns", async (open) => {
  const { services, waiting } = gated();
  await using wire = await open(services, { maxInFlight: 16 });
  const { peer } = wire;
  const seqs = Array.from({ length: 16 }, (_, i) => 2 * i + 1);
  await peer.send(...seqs.map((seq) => call(seq, "Slow.call", null, 200)));
  for (const { header } of await peer.frames(16)) assertEquals(header[2], "deadline_exceeded");
  await peer.send(call(33, "Echo.echo"));
  assertEquals((await peer.frame())?.header.slice(0, 3), headerOf.error(33, "resource_exhausted"));
  for (const gate of waiting) gate.resolve(0);
  await until(() => wire.stats("Slow.call").inFlight === 0, "all to return");
  await assertLives(peer, 35);
});

overSimulated(
  "calls: a call is answered with deadline_exceeded when its timeout has passed, and its handler aborted",
  async (open) => {
    const { services, waiting, contexts } = gated();
    await using wire = await open(services);
    const { peer } = wire;
    for (const [i, timeout] of [1, 60].entries()) {
      const began = performance.now();
      await peer.send(call(4 * i + 1, "Slow.call", null, timeout));
      const { header } = (await peer.frame())!;
      const took = performance.now() - began;
      assertEquals([header.slice(0, 3), header.length], [headerOf.error(4 * i + 1, "deadline_exceeded"), 4]);
      assert(took >= timeout - 1, `${took} ms for ${timeout}`);
      assertEquals((await aborted(contexts[i]!)).code, "deadline_exceeded");
      waiting[i]!.resolve("too late");
      assertEquals(await pingPong(peer, i), []);
    }
  },
);

overSimulated(
  "calls: the shorter of the caller's timeout and handleTimeout counts, and 0 is no timeout",
  async (open) => {
    const { services, waiting, contexts } = gated();
    await using wire = await open(services, { handleTimeout: 5_000 });
    const { peer } = wire;
    const began = performance.now();
    const timeouts = [0, 1_000, 60_000, Number.MAX_SAFE_INTEGER];
    await peer.send(...timeouts.map((timeout, i) => call(2 * i + 1, "Slow.call", null, timeout)));
    await until(() => waiting.length === 4, "all to be started");
    const arrived = performance.now();
    for (const [i, expected] of [5_000, 1_000, 5_000, 5_000].entries()) {
      // They arrived some time between the two.
      const { deadline } = contexts[i]!;
      assert(deadline >= began + expected - 1, `${deadline - began} ms for ${timeouts[i]}`);
      assert(deadline <= arrived + expected + 1, `${deadline - arrived} ms for ${timeouts[i]}`);
    }
    for (const gate of waiting) gate.resolve(1);
    await peer.frames(4);
  },
);

overSimulated("calls: handleTimeout ends a call that set no timeout", async (open) => {
  const { services, waiting } = gated();
  await using wire = await open(services, { handleTimeout: 40 });
  await wire.peer.send(call(1, "Slow.call"));
  assertEquals((await wire.peer.frame())?.header.slice(0, 3), headerOf.error(1, "deadline_exceeded"));
  waiting[0]!.resolve(1);
});

overBoth("calls: without handleTimeout and timeout there is no deadline", async (open) => {
  const { services, waiting, contexts } = gated();
  await using wire = await open(services);
  await wire.peer.send(call(1, "Slow.call"), call(3, "Slow.call", null, Number.MAX_SAFE_INTEGER));
  await until(() => waiting.length === 2, "both to be started");
  assertEquals(contexts[0]!.deadline, Infinity);
  assertEquals(await pingPong(wire.peer, 1), [], "a deadline beyond what timers take does not come at once");
  for (const gate of waiting) gate.resolve(1);
  await wire.peer.frames(2);
});

overBoth("calls: exactly one answer each, however handlers race their deadline", async (open) => {
  const random = seeded(5);
  await using wire = await open({
    ...ECHO,
    Race: {
      // Finishes within a millisecond or so of its deadline, by value or by error, before or after it.
      run: (_: unknown, { deadline }: Context) => {
        const delay = deadline - performance.now() + (random() * 3 - 1.5);
        const fails = random() < 0.3;
        return new Promise((resolve, reject) => {
          setTimeout(() => fails ? reject(new Error("late")) : resolve(1), Math.max(0, delay));
        });
      },
    },
  });
  const { peer } = wire;
  const answers = new Map<number, number>();
  const kinds = new Set<string>();
  let seq = -1;
  for (let round = 0; round < 20; round++) {
    await peer.send(...Array.from({ length: 250 }, () => call(seq += 2, "Race.run", null, 1 + round % 5)));
    for (const { kind, seq, header } of await peer.frames(250)) {
      answers.set(seq, (answers.get(seq) ?? 0) + 1);
      kinds.add(kind === Kind.reply ? "reply" : String(header[2]));
    }
  }
  await until(() => wire.stats("Race.run").inFlight === 0, "all to return");
  assertEquals(await pingPong(peer, 1), [], "nothing comes behind the answers");
  assertEquals([answers.size, new Set(answers.values())], [5_000, new Set([1])]);
  assertEquals(kinds, new Set(["reply", "internal", "deadline_exceeded"]), "the race went each way");
});

overBoth("calls: exactly one answer or none, however cancels race replies", async (open) => {
  await using wire = await open({
    ...ECHO,
    Race: {
      run: (i: number) => i % 2 === 0 ? i : new Promise((resolve) => setTimeout(() => resolve(i), i % 3)),
    },
  });
  const { peer } = wire;
  let seq = -1;
  for (let round = 0; round < 10; round++) {
    const seqs = Array.from({ length: 100 }, () => seq += 2);
    await peer.send(...seqs.map((seq, i) => call(seq, "Race.run", i)));
    await peer.send(...seqs.map((seq) => cancel(seq)));
    await until(() => {
      const { calls, inFlight } = wire.stats("Race.run");
      return calls === (round + 1) * 100 && inFlight === 0;
    }, "all to return");
    const answers = (await pingPong(peer, round)).map(({ seq }) => seq);
    assertEquals(new Set(answers).size, answers.length, "no call is answered twice");
    assert(answers.every((each) => seqs.includes(each)));
  }
});

overBoth("calls: a peer that has ended its side is answered in full, then this side ends", async (open) => {
  const { services, waiting } = gated();
  await using wire = await open(services);
  const { peer } = wire;
  // Before a large frame, and a second after its end, the peer is pinged.
  peer.skipsPings = true;
  await peer.send(call(1, "Slow.call"), call(3, "Echo.echo", "at once"), call(5, "Slow.call"));
  await peer.end();
  const first: Frame = (await peer.frame())!;
  assertEquals([first.header, bodyOf(first)], [headerOf.reply(3), "at once"]);
  await until(() => waiting.length === 2, "both to be started");
  waiting[1]!.resolve("second");
  assertEquals((await peer.frame())?.header, headerOf.reply(5));
  const large = new Uint8Array(1_000_000).fill(7);
  waiting[0]!.resolve(large);
  const last = (await peer.frame())!;
  assertEquals({ header: last.header, body: last.body.length }, {
    header: headerOf.reply(1),
    body: 1_000_005,
  });
  assertEquals(await peer.frame(), null);
  await wire.idle();
});

overBoth("calls: an end without calls in flight is answered with an end", async (open) => {
  await using wire = await open(ECHO);
  await assertLives(wire.peer, 1);
  await wire.peer.end();
  assertEquals(await wire.peer.rest(), []);
  await wire.idle();
});

overBoth("calls: a call that arrives together with the end is answered", async (open) => {
  await using wire = await open(ECHO);
  for (let i = 0; i < 50; i++) {
    using peer = await wire.another();
    await peer.send(frame(headerOf.call(1, "Echo.echo", 0), bytes(cbor(i))));
    await peer.end();
    const frames = await peer.rest();
    assertEquals(frames.map(({ header }) => header), [headerOf.reply(1)]);
    assertEquals(bodyOf(frames[0]!), i);
  }
});
