// The soak's own measures: that they tell when a promise was broken. What it finds in the library has tests of its own,
// by theme.

import { assert, assertEquals } from "@std/assert";
import { Ledger, Verdict } from "../../soak/ledger.ts";
import { countedSignal, Lateness, Slope } from "../../soak/meter.ts";
import { type Measured, report } from "../../soak/report.ts";

/** A ledger with `executed` calls, after `verdicts` were given to calls 1, 2 and so on. */
async function balanceOf(verdicts: readonly number[], executed: readonly number[]) {
  const file = await Deno.makeTempFile();
  const ledger = new Ledger();
  ledger.follow(file);
  for (const verdict of verdicts) ledger.settle(ledger.open(), verdict);
  await Deno.writeFile(file, new Uint8Array(Uint32Array.from(executed).buffer));
  const { executions, ...found } = ledger.close();
  assertEquals(executions, executed.length);
  await Deno.remove(file);
  return found;
}

const NOTHING = { duplicates: 0, unexecuted: 0, startedDespiteError: 0, repeatedTooOften: 0 };

Deno.test("soak: the ledger balances when every call did what its caller received", async () => {
  const { Once, Never, AtMostOnce, AtLeastOnce, Any } = Verdict;
  assertEquals(
    await balanceOf([Once, Never, AtMostOnce, AtMostOnce, AtLeastOnce, Any, Any], [1, 4, 5, 5, 5, 7]),
    NOTHING,
  );
});

Deno.test("soak: the ledger finds calls that were executed too often, not at all, or in spite of their error", async () => {
  const { Once, Never, AtMostOnce, AtLeastOnce, Any, Open } = Verdict;
  assertEquals(await balanceOf([Once], [1, 1]), { ...NOTHING, duplicates: 1 });
  assertEquals(await balanceOf([AtMostOnce, Open], [1, 2, 1, 2]), { ...NOTHING, duplicates: 2 });
  assertEquals(await balanceOf([Once, AtLeastOnce], []), { ...NOTHING, unexecuted: 2 });
  assertEquals(await balanceOf([Never], [1]), { ...NOTHING, startedDespiteError: 1 });
  assertEquals(await balanceOf([Any], [1, 1, 1, 1, 1]), { ...NOTHING, repeatedTooOften: 1 });
});

Deno.test("soak: lateness keeps its worst and its percentiles", () => {
  const lateness = new Lateness();
  for (let ms = 0.5; ms < 1_000; ms++) lateness.add(ms);
  lateness.add(60_000);
  assertEquals([lateness.count, lateness.max], [1_001, 60_000]);
  assertEquals([lateness.percentile(0.5), lateness.percentile(0.999)], [501, 1_000]);
});

Deno.test("soak: a listener leaked on a shared signal is counted", () => {
  const { signal, listeners } = countedSignal();
  const listener = () => {};
  signal.addEventListener("abort", listener);
  assertEquals(listeners(), 1);
  signal.removeEventListener("abort", listener);
  assertEquals(listeners(), 0);
});

function measured(changed: Partial<Measured>): Measured {
  const flat = { heap: { perHour: 0, error: 0, grown: 0 }, rss: { perHour: 0, error: 0, grown: 0 } };
  return {
    kill: false,
    seconds: 60,
    counts: {
      calls: 10,
      settled: 10,
      sent: 10,
      wrong: [],
      wrongs: 0,
      outcomes: new Map([["echo: succeeded", 10]]),
    },
    balance: { executions: 10, ...NOTHING },
    faults: new Map(),
    lateness: new Lateness(),
    loop: new Lateness(),
    slopes: { client: flat, server: flat },
    sockets: { before: { client: 9, server: 9 }, after: { client: 9, server: 9 } },
    leftover: { connections: 0, inFlight: 0, listeners: 0, unhandled: 0 },
    ...changed,
  };
}

Deno.test("soak: the report says which promise was broken", () => {
  const broken = (changed: Partial<Measured>) =>
    report(measured(changed)).filter(({ kept }) => kept === false).map(({ name }) => name);
  assertEquals(broken({}), []);
  const late = new Lateness();
  late.add(300);
  assertEquals(broken({ lateness: late }), ["lateness after the deadline"]);
  assertEquals(broken({ lateness: late, loop: late }), []);
  const steep = { perHour: 3, error: 0.5, grown: 3 };
  const flat = { perHour: 0, error: 0, grown: 0 };
  assertEquals(
    broken({ slopes: { client: { heap: steep, rss: flat }, server: { heap: flat, rss: flat } } }),
    [
      "heap growth of the client",
    ],
  );
  assertEquals(
    broken({ sockets: { before: { client: 9, server: 9 }, after: { client: 9, server: 10 } } }),
    ["sockets of the server"],
  );
  assertEquals(broken({ leftover: { connections: 1, inFlight: 0, listeners: 2, unhandled: 1 } }), [
    "left on the server",
    "listeners left on a shared signal",
    "unhandled rejections",
  ]);
  const counts = { calls: 10, settled: 9, sent: 9, wrong: [], wrongs: 1, outcomes: new Map() };
  assertEquals(broken({ counts }), ["wrong outcomes", "calls that never settled"]);
});

Deno.test("soak: the slope of memory is that of the line through the samples, warm-up apart", () => {
  const slope = new Slope();
  for (let second = 0; second < 100; second++) {
    const warmUp = second < 20 ? 50_000_000 : 0;
    slope.add(warmUp + second * 1_048_576 + (second % 2) * 1_000, second * 1_000);
  }
  const { perHour, error, grown } = slope.fit(0.3);
  assert(Math.abs(perHour - 3_600) < 1);
  assert(Math.abs(grown - 69) < 1);
  assert(error < 1);
});
