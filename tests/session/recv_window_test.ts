// Receive windows: how they follow rate and round trip, what they may cost, and that they return what they took.

import { assert, assertEquals, assertGreater, assertLess, assertThrows } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { INITIAL, MAX_WINDOW_BYTES, RecvWindow, SHORT_LINE } from "../../session/recv_window.ts";
import { type ConnectionWindows, ITEM_COST, WindowBudget } from "../../session/window_budget.ts";
import { TestLine, testWindows } from "../support/windows.ts";

/** Lets a sender use all credit once per round trip, and a consumer take everything at once. */
function roundTrips(
  window: RecvWindow,
  windows: ConnectionWindows,
  line: TestLine,
  { count, size, bytesPerMs = Infinity }: { count: number; size: number; bytesPerMs?: number },
): void {
  for (let i = 0; i < count; i++) {
    const started = line.time;
    let items = Math.min(window.itemCredit, Math.ceil(window.byteCredit / size));
    items = Math.min(items, Math.ceil(bytesPerMs * line.ms / size));
    line.time = started + line.ms;
    for (let n = 0; n < items; n++) window.spend(size);
    for (let n = 0; n < items; n++) if (window.taken(size)) window.grant(n === items - 1, windows);
  }
}

Deno.test("receive window: it grows from the initial credit to 16 MiB in 12 round trips", () => {
  for (const size of [100, 1_024, 65_536]) {
    const line = new TestLine(100);
    const window = new RecvWindow();
    roundTrips(window, testWindows(line), line, { count: 12, size });
    const cost = window.size.bytes + window.size.items * ITEM_COST;
    assertGreater(cost, MAX_WINDOW_BYTES * 0.95, `${size}`);
    assertLess(window.size.bytes, MAX_WINDOW_BYTES + size, `${size}`);
  }
});

Deno.test("receive window: it is one to three times rate × round trip", () => {
  for (const [ms, bytesPerMs] of [[100, 12_500], [20, 12_500], [20, 125_000]] as const) {
    const line = new TestLine(ms);
    const window = new RecvWindow();
    roundTrips(window, testWindows(line), line, { count: 60, size: 1_000, bytesPerMs });
    const product = ms * bytesPerMs;
    assertGreater(window.size.bytes, product * 1.2, `${ms} ms`);
    assertLess(window.size.bytes, Math.max(product * 3, INITIAL.bytes), `${ms} ms`);
  }
});

Deno.test("receive window: it shrinks when the rate falls, by credit that is not granted", () => {
  const line = new TestLine(100);
  const window = new RecvWindow();
  const windows = testWindows(line);
  roundTrips(window, windows, line, { count: 20, size: 1_000, bytesPerMs: 50_000 });
  const { bytes } = window.size;
  roundTrips(window, windows, line, { count: 100, size: 1_000, bytesPerMs: 2_000 });
  assertLess(window.size.bytes, bytes / 10);
  assert(window.size.bytes >= INITIAL.bytes);
});

Deno.test("receive window: on a short line it stays at 1024 items and 1 MiB", () => {
  const line = new TestLine(0.1);
  const window = new RecvWindow();
  roundTrips(window, testWindows(line), line, { count: 10_000, size: 100, bytesPerMs: 100_000 });
  assertEquals(window.size, SHORT_LINE);
});

Deno.test("receive window: at most one ping a round trip, and none once it is large enough", () => {
  const line = new TestLine(100);
  const window = new RecvWindow();
  const windows = testWindows(line);
  roundTrips(window, windows, line, { count: 30, size: 1_000, bytesPerMs: 10_000 });
  assert(line.measured <= 30, `${line.measured}`);
  const { measured } = line;
  roundTrips(window, windows, line, { count: 50, size: 1_000, bytesPerMs: 10_000 });
  assertEquals(line.measured, measured);
});

Deno.test("receive window: the least round trip expires, and is measured again over a drained line", () => {
  const line = new TestLine(50);
  const window = new RecvWindow();
  const windows = testWindows(line);
  roundTrips(window, windows, line, { count: 20, size: 1_000, bytesPerMs: 10_000 });
  const large = window.size.bytes;
  line.ms = 80;
  roundTrips(window, windows, line, { count: 100, size: 1_000, bytesPerMs: 10_000 });
  assertEquals(line.roundTrip.least, 50, "a longer round trip may be a queue");
  let least = large;
  for (let i = 0; i < 100; i++) {
    roundTrips(window, windows, line, { count: 1, size: 1_000, bytesPerMs: 10_000 });
    least = Math.min(least, window.size.bytes);
  }
  assertEquals(line.roundTrip.least, 80);
  assertLess(least, large / 2, "it was less than rate × round trip for a while");
  assertGreater(window.size.bytes, large);
});

Deno.test("receive windows: they hold no more than the budget of their connection, and of all together", () => {
  const line = new TestLine(100);
  const total = new WindowBudget(6_000_000);
  const one = testWindows(line, 4_000_000, total);
  const other = testWindows(line, 4_000_000, total);
  const streams = [one, one, one, other, other, other].map((windows) => ({
    windows,
    window: new RecvWindow(),
  }));
  const cost = (windows: ConnectionWindows) =>
    streams.filter((each) => each.windows === windows)
      .map(({ window: { size } }) => size.bytes - INITIAL.bytes + (size.items - INITIAL.items) * ITEM_COST)
      .reduce((sum, each) => sum + each, 0);
  for (let i = 0; i < 40; i++) {
    for (const { window, windows } of streams) {
      const { time } = line;
      roundTrips(window, windows, line, { count: 1, size: 1_000 });
      line.time = time + 100 / 6;
    }
    assert(cost(one) <= 4_000_000 && cost(other) <= 4_000_000, `${cost(one)}, ${cost(other)}`);
    assert(cost(one) + cost(other) <= 6_000_000, `${cost(one) + cost(other)}`);
  }
  assertGreater(cost(one) + cost(other), 2_000_000);
  for (const { window, windows } of streams) window.release(windows);
  assert(total.take(6_000_000), "everything was returned");
});

Deno.test("receive window: without budget it stays at its initial size", () => {
  const line = new TestLine(100);
  const window = new RecvWindow();
  roundTrips(window, testWindows(line, 1), line, { count: 20, size: 1_000 });
  assertEquals(window.size, INITIAL);
});

Deno.test("receive window: what a stream buffers is at most its window and one frame, whatever its sender does", () => {
  const frame = 4_194_304;
  const line = new TestLine(100);
  const window = new RecvWindow();
  roundTrips(window, testWindows(line), line, { count: 12, size: 65_536 });
  const { bytes } = window.size;
  assertLess(bytes, MAX_WINDOW_BYTES + 1);
  let buffered = 0;
  while (window.itemCredit > 0 && window.byteCredit > 0) {
    window.spend(frame);
    buffered += frame;
  }
  assert(buffered <= bytes + frame, `${buffered}`);
  assertThrows(() => window.spend(1), RpcError, "without credit");
});
