// The table of calls by number: a ring that grows with what is in flight, and not with how long one call takes.

import { assertEquals } from "@std/assert";
import { PendingTable } from "../../session/pending_table.ts";

Deno.test("pending table: behaves like a Map", () => {
  const table = new PendingTable<{ seq: number }>();
  const map = new Map<number, { seq: number }>();
  let state = 7;
  const random = (below: number) => (state = state * 1_103_515_245 + 12_345 & 0x7fffffff) % below;
  for (let seq = 1; seq < 60_000; seq += 2 * (1 + random(3))) {
    const call = { seq };
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
  const table = new PendingTable<{ seq: number }>();
  const old = { seq: 2 };
  table.add(old);
  for (let seq = 4; seq < 400_000; seq += 2) {
    table.add({ seq });
    table.delete(seq);
  }
  assertEquals([table.get(2), table.size, table.values()], [old, 1, [old]]);
  table.delete(2);
  assertEquals([table.has(2), table.size, table.values()], [false, 0, []]);
});
