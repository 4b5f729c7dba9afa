// The table of calls by number: a ring that grows with what is in flight, and not with how long one call takes.

import { assertEquals, assertLess } from "@std/assert";
import { type NumberedCall, PendingTable } from "../../session/pending_table.ts";
import { seeded } from "../support/random.ts";

Deno.test("pending table: behaves like a Map", () => {
  const table = new PendingTable<NumberedCall>();
  const map = new Map<number, NumberedCall>();
  let state = 7;
  const random = (below: number) => (state = state * 1_103_515_245 + 12_345 & 0x7fffffff) % below;
  for (let seq = 1; seq < 60_000; seq += 2 * (1 + random(3))) {
    const call = { seq, deadline: Infinity };
    table.add(call);
    map.set(seq, call);
    while (map.size > random(300)) {
      const keys = [...map.keys()];
      const gone = keys[random(keys.length)]!;
      table.delete(gone);
      table.delete(gone);
      map.delete(gone);
    }
    const asked = 1 + random(seq + 10);
    assertEquals(table.get(asked), map.get(asked));
    assertEquals([table.size, table.has(seq)], [map.size, map.has(seq)]);
  }
  assertEquals(table.values(), [...map.values()]);
});

Deno.test("pending table: one long call does not make it grow, and is found as long as it lasts", () => {
  const table = new PendingTable<NumberedCall>();
  const old = { seq: 2, deadline: Infinity };
  table.add(old);
  for (let seq = 4; seq < 400_000; seq += 2) {
    table.add({ seq, deadline: Infinity });
    table.delete(seq);
  }
  assertEquals([table.get(2), table.size, table.values()], [old, 1, [old]]);
  table.delete(2);
  assertEquals([table.has(2), table.size, table.values()], [false, 0, []]);
});

Deno.test("pending table: gives each call that is due once, whatever the order of deadlines", () => {
  const random = seeded(5);
  const table = new PendingTable<NumberedCall>();
  const all = new Map<number, NumberedCall>();
  let now = 0;
  // Numbers have gaps, as a peer may leave them, some longer than the ring.
  for (let seq = 2; seq < 2_000_000; seq += random() < 0.001 ? 5_000 : 2 * (1 + Math.floor(random() * 40))) {
    const call = { seq, deadline: random() < 0.1 ? Infinity : now + random() * 200 };
    table.add(call);
    all.set(seq, call);
    if (random() < 0.8) {
      const keys = [...all.keys()];
      const gone = keys[Math.floor(random() * keys.length)]!;
      assertEquals(table.delete(gone), true);
      all.delete(gone);
    }
    now += random();
    const due = [...all.values()].filter(({ deadline }) => deadline <= now);
    if (due.length > 0) assertEquals(table.due <= now, true);
    assertEquals(table.takeDue(now), due);
    for (const { seq } of due) {
      table.delete(seq);
      all.delete(seq);
    }
  }
});

Deno.test("pending table: calls that are not due are not looked at", () => {
  const table = new PendingTable<NumberedCall>();
  let looks = 0;
  const counted = (seq: number, deadline: number) => ({
    seq,
    get deadline() {
      looks++;
      return deadline;
    },
  });
  for (let n = 1; n <= 100_000; n++) table.add(counted(2 * n, n * 733 % 100_000 + 1));
  let ended = 0;
  for (let now = 1; now <= 100_000; now++) {
    for (const { seq } of table.takeDue(now)) {
      table.delete(seq);
      ended++;
    }
  }
  assertEquals([ended, table.size, table.due], [100_000, 0, Infinity]);
  assertLess(looks, 500_000);
});
