// Peers that break the protocol: each receives the code that belongs to the case and is disconnected, and no other client
// notices. Over memory and TCP.

import { assert, assertEquals } from "@std/assert";
import { decodeHex } from "@std/encoding";
import { call, end, error, goAway, headerOf, item, ping, reply } from "../support/frames.ts";
import { seeded } from "../support/random.ts";
import { bytes, framed } from "../support/raw_peer.ts";
import { soon, until } from "../support/waiting.ts";
import { assertGoAway, assertLives, ECHO, overBoth, type Services } from "../support/wire_harness.ts";
import vectors from "../../docs/vectors/frames.json" with { type: "json" };

overBoth("hostile: every malformed vector gets GoAway with its code, then the end", async (open) => {
  await using wire = await open(ECHO);
  for (const vector of vectors.malformed) {
    using peer = await wire.another();
    await peer.send(decodeHex(vector.hex));
    assertEquals(await assertGoAway(peer, vector.code, 0), [], vector.name);
  }
  await assertLives(wire.peer, 1);
  assertEquals(wire.log.length, vectors.malformed.length, "one line each for the operator");
});

overBoth(
  "hostile: calls before the fault are answered, and GoAway says which were accepted",
  async (open) => {
    await using wire = await open(ECHO);
    for (const vector of vectors.malformed) {
      using peer = await wire.another();
      await peer.send(
        call(1, "Echo.echo", 1),
        call(7, "No.such"),
        decodeHex(vector.hex),
        call(9, "Echo.echo", 2),
      );
      const [reply, error, ...rest] = await assertGoAway(peer, vector.code, 7);
      assertEquals(
        [reply?.header, error?.header.slice(0, 3), rest],
        [headerOf.reply(1), headerOf.error(7, "unimplemented"), []],
        vector.name,
      );
    }
    assertEquals(wire.stats("Echo.echo").calls, vectors.malformed.length);
  },
);

overBoth(
  "hostile: a call that is running when its peer breaks the protocol is aborted and not answered",
  async (open) => {
    const aborted = Promise.withResolvers<{ code: string }>();
    const services: Services = {
      Slow: {
        call: (_: unknown, { signal }: { signal: AbortSignal }) => {
          return new Promise((_, reject) => {
            signal.addEventListener("abort", () => {
              aborted.resolve(signal.reason);
              reject(signal.reason);
            });
          });
        },
      },
    };
    await using wire = await open(services);
    await wire.peer.send(call(1, "Slow.call"), bytes(0x00));
    assertEquals(await assertGoAway(wire.peer, "invalid_argument", 1), []);
    assertEquals((await soon(aborted.promise, "the abort")).code, "unavailable");
  },
);

const FAULTS: [string, Uint8Array[]][] = [
  ["a call with an even number", [call(2, "Echo.echo")]],
  ["a call with the number of the last", [call(5, "Echo.echo"), call(5, "Echo.echo")]],
  ["a call with a number below the last", [call(5, "Echo.echo"), call(3, "Echo.echo")]],
  ["a call with the number of one that was refused", [call(5, "No.such"), call(5, "Echo.echo")]],
  ["a Reply to a call that was never made", [reply(2, 1)]],
  ["an Error for a call that was never made", [error(2, "internal", "no")]],
  ["an Item of an answer to a call that was never made", [item(2, 1)]],
  ["an End of an answer to a call that was never made", [end(4)]],
  ["a Reply to a call of its own", [call(1, "Echo.echo"), reply(1, 1)]],
  ["an Error for a call of its own", [call(1, "Echo.echo"), error(1, "internal", "no")]],
  ["an Item of arguments for a call that was never made", [call(1, "Echo.echo"), item(3, 1)]],
  ["an End of arguments for a call that was never made", [end(1)]],
];

for (const [fault, frames] of FAULTS) {
  overBoth(`hostile: ${fault} is a protocol error`, async (open) => {
    await using wire = await open(ECHO);
    using peer = await wire.another();
    await peer.send(...frames);
    await assertGoAway(peer, "invalid_argument");
    await assertLives(wire.peer, 1);
  });
}

overBoth("hostile: numbers may have gaps, and go up to 2^53-1", async (open) => {
  await using wire = await open(ECHO);
  await assertLives(wire.peer, 101);
  await assertLives(wire.peer, Number.MAX_SAFE_INTEGER);
  await wire.peer.send(call(1, "Echo.echo"));
  await assertGoAway(wire.peer, "invalid_argument", Number.MAX_SAFE_INTEGER);
});

overBoth(
  "hostile: only the first of two faults is reported, and nothing after it is read",
  async (open) => {
    await using wire = await open(ECHO);
    await wire.peer.send(
      framed(bytes(0x82, 0x18, 0xff, 0x01)), // unknown kind
      bytes(0x5a, 0xff, 0xff, 0xff, 0xff), // too long
      call(1, "Echo.echo"),
    );
    assertEquals(await assertGoAway(wire.peer, "invalid_argument", 0), []);
    assertEquals(wire.stats("Echo.echo").calls, 0);
  },
);

overBoth("hostile: a megabyte after the fault does not cost the peer its GoAway", async (open) => {
  await using wire = await open(ECHO);
  const sending = wire.peer.send(call(1, "No.such"), bytes(0x00), new Uint8Array(900_000));
  assertEquals((await assertGoAway(wire.peer, "invalid_argument", 1)).length, 1);
  await sending;
});

overBoth("hostile: a peer that keeps sending after its fault is cut off", async (open) => {
  await using wire = await open(ECHO);
  const { peer } = wire;
  await peer.send(bytes(0x00));
  await assertGoAway(peer, "invalid_argument");
  const part = new Uint8Array(65_536);
  let sent = 0;
  // The pipes between hold some more than the megabyte that is read.
  await soon(
    (async () => {
      try {
        for (; sent < 2 ** 26; sent += part.length) await peer.send(part);
      } catch {
        // As it should be.
      }
    })(),
    "the cut",
  );
  assert(sent < 2 ** 26, `${sent} bytes were taken`);
});

overBoth("hostile: recorded sessions with random faults do not affect other clients", async (open) => {
  await using wire = await open(ECHO);
  const recorded = bytes(
    ...[1, 3, 5].map((seq) => call(seq, "Echo.echo", "x".repeat(seq * 10), 1_000)),
    ping(1),
  );
  const random = seeded(11);
  for (let run = 0; run < 300; run++) {
    using peer = await wire.another();
    const mutant = recorded.slice();
    for (let flips = 1 + Math.floor(random() * 4); flips > 0; flips--) {
      mutant[Math.floor(random() * mutant.length)] = Math.floor(random() * 256);
    }
    await peer.send(mutant);
    await peer.end();
    // What comes back is whole frames, whatever they say, and then the end: an abort counts.
    try {
      await peer.rest();
    } catch (error) {
      assert(error instanceof Error && /reset/i.test(error.message), String(error));
    }
  }
  await assertLives(wire.peer, 1);
});

overBoth("hostile: 64 metadata entries are accepted, 65 are refused at their head", async (open) => {
  await using wire = await open(ECHO);
  const many = (count: number) => new Map(Array.from({ length: count }, (_, i) => [`name-${i}`, "x"]));
  await wire.peer.send(call(1, "Echo.echo", 1, 0, many(64)));
  assertEquals((await wire.peer.frame())?.header, headerOf.reply(1));
  await wire.peer.send(call(3, "Echo.echo", 1, 0, many(65)));
  await assertGoAway(wire.peer, "resource_exhausted", 1);
});

overBoth("hostile: a peer that sends GoAway itself is served to the end and then closed", async (open) => {
  const gate = Promise.withResolvers<string>();
  await using wire = await open({ Slow: { call: () => gate.promise } });
  const { peer } = wire;
  await peer.send(call(1, "Slow.call"), goAway(0, "unavailable", "Going"));
  await until(() => wire.stats("Slow.call").inFlight === 1, "the call to be started");
  gate.resolve("done");
  const frames = await peer.rest();
  assertEquals(frames.map(({ header }) => header), [headerOf.reply(1)]);
});

overBoth(
  "hostile: a Ping flood from a peer that does not read is answered in bounded memory",
  async (open) => {
    await using wire = await open(ECHO, { maxUnsentBytes: 65_536 });
    using flooder = await wire.another();
    const pings = bytes(...Array.from({ length: 5_000 }, (_, n) => ping(n)));
    // Sends until nothing is taken any more: that it stops is the promise.
    let sent = 0;
    const flood = (async () => {
      try {
        for (; sent < 2_000; sent++) {
          await flooder.send(pings);
        }
      } catch {
        // The peer does not read: the send is given up when the test ends.
      }
    })();
    let before = -1;
    await until(() => {
      const stuck = sent > 0 && sent === before;
      before = sent;
      return stuck;
    }, "the flood to stop");
    await assertLives(wire.peer, 1);
    assert(sent < 2_000);
    flooder.close();
    await flood;
  },
);
