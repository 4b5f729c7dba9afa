// A Map of bounded size: what was not set for longest makes room.

import { assertEquals } from "@std/assert";
import { Recent } from "../../transport/recent.ts";

Deno.test("recent: a new entry replaces the least recently set one", () => {
  const recent = new Recent<number>(2);
  recent.set("a", 1);
  recent.set("b", 2);
  recent.set("a", 3);
  recent.set("c", 4);
  assertEquals(["a", "b", "c"].map((key) => recent.get(key)), [3, undefined, 4]);
  assertEquals([recent.take("a"), recent.take("a"), recent.get("c")], [3, undefined, 4]);
});
