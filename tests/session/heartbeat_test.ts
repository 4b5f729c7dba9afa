// When a silent peer is asked whether it is there, and that it never is without heartbeat.

import { assertEquals } from "@std/assert";
import { ByteBuffer } from "../../codec/bytes.ts";
import { Heartbeat } from "../../session/heartbeat.ts";
import { sessionLimits } from "../../session/limits.ts";
import type { FrameWriter } from "../../session/frame_writer.ts";

/** A heartbeat that was last heard at 5 000 ms, the bytes that it writes, and what it says. */
function heart(
  limits: { heartbeatInterval: number | false; heartbeatTimeout: number },
  peerInterval?: number,
) {
  const written = new ByteBuffer();
  const frameWriter = { cachedNow: 5_000, unsent: 0, beginFrame: () => written };
  const said: string[] = [];
  let pongs = 0;
  const owner = {
    onQuiet: () => said.push("quiet"),
    onSilent: (silence: number) => said.push(`silent for ${silence}`),
  };
  const heartbeat = new Heartbeat(
    sessionLimits(limits),
    frameWriter as unknown as FrameWriter,
    owner,
    peerInterval,
  );
  /** Looks when it is time, for as long as given, and returns when the peer was pinged. */
  const pings = (from: number, to: number, waits: boolean, answers: boolean) => {
    const times: number[] = [];
    for (let now = from; now <= to;) {
      const before = written.length;
      const next = heartbeat.check(now, false, waits);
      if (written.length > before) {
        times.push(now);
        if (answers) heartbeat.onPong(now + 5, ++pongs);
      }
      now = next;
    }
    return times;
  };
  return { heartbeat, said, written, frameWriter, pings };
}

Deno.test("heartbeat: a silent peer is pinged, then given up", () => {
  const { heartbeat, said, pings } = heart({ heartbeatInterval: 30_000, heartbeatTimeout: 10_000 });
  assertEquals({ due: heartbeat.due, interval: heartbeat.interval, probeInterval: heartbeat.probeInterval }, {
    due: 35_000,
    interval: 30_000,
    probeInterval: 1_000,
  });
  assertEquals(pings(35_000, 44_999, false, false), [35_000]);
  assertEquals({ said, doubtful: heartbeat.doubtful }, { said: ["quiet"], doubtful: true });
  assertEquals(heartbeat.check(45_000, false, false), Infinity);
  assertEquals(said, ["quiet", "silent for 40000"]);
});

Deno.test("heartbeat: pings keep their interval, however long the timeout is", () => {
  const { pings, said } = heart({ heartbeatInterval: 2_000, heartbeatTimeout: 10_000 });
  const times = pings(7_000, 27_000, false, true);
  assertEquals(times, Array.from({ length: 10 }, (_, n) => 7_000 + n * 2_005));
  assertEquals(said.filter((word) => word !== "quiet"), []);
});

Deno.test("heartbeat: while a call waits a silent peer is pinged less and less often", () => {
  const { heartbeat, pings } = heart({ heartbeatInterval: 30_000, heartbeatTimeout: 10_000 });
  assertEquals([heartbeat.watching, heartbeat.watch(10_000), heartbeat.watching], [false, 11_000, true]);
  assertEquals(pings(11_000, 200_000, true, true), [
    ...[11_000, 14_000, 19_000, 28_000, 45_000, 75_005, 105_010, 135_015, 165_020, 195_025],
  ]);
  // A further call is looked after as closely as the first one was.
  assertEquals([heartbeat.watching, heartbeat.watch(200_000)], [false, 201_000]);
  assertEquals(pings(201_000, 210_000, true, true), [201_000, 204_000, 209_000]);
  // So is every call once the peer says something without being asked.
  heartbeat.receivedAt = 212_000;
  assertEquals(heartbeat.check(218_000, false, true), 219_000);
  assertEquals([heartbeat.watching, pings(219_000, 219_000, true, true)], [true, [219_000]]);
});

Deno.test("heartbeat: a peer that does not answer within a second is doubtful until it does", () => {
  const { heartbeat, pings } = heart({ heartbeatInterval: 30_000, heartbeatTimeout: 10_000 });
  heartbeat.watch(10_000);
  assertEquals([pings(11_000, 11_999, true, false), heartbeat.doubtful], [[11_000], false]);
  assertEquals([heartbeat.check(12_000, false, true), heartbeat.doubtful], [13_000, true]);
  heartbeat.onPong(12_500, 1);
  assertEquals([heartbeat.check(13_000, false, true), heartbeat.doubtful], [15_000, false]);
});

Deno.test("heartbeat: a peer is not blamed for the time in which this process was stalled", () => {
  const { heartbeat, said } = heart({ heartbeatInterval: 30_000, heartbeatTimeout: 10_000 });
  heartbeat.check(35_000, false, false);
  assertEquals([heartbeat.check(95_000, true, false), heartbeat.doubtful], [96_000, false]);
  for (let now = 96_000; now < 105_000; now += 1_000) heartbeat.check(now, false, false);
  assertEquals(said, ["quiet"]);
  heartbeat.check(105_000, false, false);
  assertEquals(said.at(-1), "silent for 100000");
});

Deno.test("heartbeat: a peer is pinged before anything is sent if either side may have given it up", () => {
  for (const [peerInterval, trusted] of [[undefined, 31_000], [2_000, 3_000]] as const) {
    const limits = { heartbeatInterval: 30_000, heartbeatTimeout: 10_000 };
    const { heartbeat, written } = heart(limits, peerInterval);
    assertEquals([heartbeat.doubt(5_000 + trusted), written.length], [undefined, 0]);
    const now = 5_000 + trusted + 10;
    assertEquals([heartbeat.doubt(now), heartbeat.doubtful], [now + 1_000, true]);
    const once = written.length;
    assertEquals([once > 0, heartbeat.doubt(now + 100), written.length], [true, undefined, once]);
    // What is read now may have been sent long ago.
    heartbeat.onPing(now + 101);
    heartbeat.onPong(now + 102, 0);
    assertEquals(heartbeat.doubtful, true);
    heartbeat.onPong(now + 103, 1);
    assertEquals([heartbeat.doubtful, heartbeat.doubt(now + 200)], [false, undefined]);
  }
});

Deno.test("heartbeat: a peer is pinged after a suspension that only the wall clock shows", () => {
  const { heartbeat, written } = heart({ heartbeatInterval: 30_000, heartbeatTimeout: 10_000 });
  const dateNow = Date.now;
  try {
    const from = dateNow();
    Date.now = () => from;
    heartbeat.doubt(5_010);
    Date.now = () => from + 29_000;
    assertEquals([heartbeat.doubt(5_020), heartbeat.doubtful], [undefined, false]);
    Date.now = () => from + 29_000 + 3_600_000;
    // Clocks are compared every 10 ms at most.
    assertEquals([heartbeat.doubt(5_029), heartbeat.doubtful], [undefined, false]);
    assertEquals([heartbeat.doubt(5_030), heartbeat.doubtful], [6_030, true]);
    assertEquals(written.length > 0, true);
  } finally {
    Date.now = dateNow;
  }
});

Deno.test("heartbeat: a peer that has ended its side is pinged every second", () => {
  const { heartbeat, written } = heart({ heartbeatInterval: 30_000, heartbeatTimeout: 10_000 });
  assertEquals([heartbeat.probe(20_000), written.length > 0], [21_000, true]);
});

Deno.test("heartbeat: an interval of false never pings", () => {
  const { heartbeat, said, written } = heart({ heartbeatInterval: false, heartbeatTimeout: 1 });
  assertEquals({ due: heartbeat.due, interval: heartbeat.interval, probeInterval: heartbeat.probeInterval }, {
    due: Infinity,
    interval: Infinity,
    probeInterval: Infinity,
  });
  assertEquals(heartbeat.watching, true);
  assertEquals(heartbeat.check(1e9, false, true), Infinity);
  assertEquals(heartbeat.check(1e9, false, false), Infinity);
  assertEquals([heartbeat.doubt(1e9), heartbeat.doubtful], [undefined, false]);
  assertEquals(heartbeat.probe(1e9), Infinity);
  assertEquals({ said: said.length, written: written.length }, { said: 0, written: 0 });
});

Deno.test("heartbeat: the Pong of the latest Ping answers all before it, and one of no Ping answers none", () => {
  const { heartbeat } = heart({ heartbeatInterval: 30_000, heartbeatTimeout: 10_000 });
  const arrived: number[] = [];
  for (let n = 1; n <= 3; n++) heartbeat.mark(() => arrived.push(n));
  heartbeat.onPong(6_000, 4);
  assertEquals(arrived, []);
  heartbeat.onPong(6_000, 2);
  assertEquals(arrived, [1, 2]);
});
