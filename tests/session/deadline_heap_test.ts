// Deadlines in order, compared with a sorted list.

import { assertEquals } from "@std/assert";
import { DeadlineHeap } from "../../session/deadline_heap.ts";
import { seeded } from "../support/random.ts";

Deno.test("deadline heap: gives the keys that are due, earliest first, as a sorted list does", () => {
  const random = seeded(23);
  const heap = new DeadlineHeap<number>();
  let list: { at: number; key: number }[] = [];
  let now = 0;
  for (let key = 0; key < 20_000; key++) {
    const at = now + 1 + Math.floor(random() * 5_000) / 1_000;
    heap.add(at, key);
    list.push({ at, key });
    if (key % 7 === 0) now += random() * 2;
    if (key % 1_000 === 0) {
      heap.retain((_, kept) => kept % 3 > 0);
      list = list.filter((entry) => entry.key % 3 > 0);
    }
    const due = list.filter((entry) => entry.at <= now).sort((a, b) => a.at - b.at).map(({ at }) => at);
    const atOf = new Map(list.map((entry) => [entry.key, entry.at]));
    const taken = heap.take(now);
    assertEquals(taken.map(({ at }) => at), due);
    assertEquals(taken.map(({ key }) => atOf.get(key)), due);
    list = list.filter((entry) => entry.at > now);
    assertEquals([heap.size, heap.first], [list.length, Math.min(...list.map((entry) => entry.at))]);
  }
});

Deno.test("deadline heap: a deadline of Infinity is never due and takes no memory", () => {
  const heap = new DeadlineHeap<string>();
  heap.add(Infinity, "never");
  assertEquals([heap.size, heap.first, heap.take(Number.MAX_VALUE)], [0, Infinity, []]);
});
