// Metadata that is the same from call to call is checked once. What differs in anything is checked and sent as it is.

import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import type { MetadataInit } from "../../call/metadata.ts";
import { RecentMetadata } from "../../call/recent_metadata.ts";
import { sendToken } from "../../call/standard_interceptors.ts";
import type { CallContext } from "../../call/handler.ts";
import { Link } from "../support/service_link.ts";

const FORMS: Record<string, (a: string, b: string) => MetadataInit> = {
  "an object": (a, b) => ({ a, b }),
  "a Map": (a, b) => new Map([["a", a], ["b", b]]),
};

for (const [form, init] of Object.entries(FORMS)) {
  Deno.test(`recent metadata: ${form} with the same entries gives the same map, which cannot be changed`, () => {
    const recent = new RecentMetadata();
    const [first, second, third] = [init("1", "2"), init("1", "2"), init("1", "2")].map((each) =>
      recent.of(each)
    );
    assertEquals([first, second], [new Map([["a", "1"], ["b", "2"]]), new Map([["a", "1"], ["b", "2"]])]);
    assert(first !== second);
    assertStrictEquals(second, third);
    assertStrictEquals(recent.of(third), third);
    assertThrows(() => (third as Map<string, string>).set("a", "3"), TypeError, "new Map(metadata)");
    assertEquals(recent.of(init("1", "3")), new Map([["a", "1"], ["b", "3"]]));
    assertEquals(recent.of(init("1", "2")), new Map([["a", "1"], ["b", "2"]]));
  });
}

Deno.test("recent metadata: entries that were added, removed or renamed are noticed", () => {
  const recent = new RecentMetadata();
  const forms: Record<string, string>[] = [{ a: "1" }, { a: "1", b: "2" }, { b: "1" }, {}, { a: "" }];
  for (const form of [...forms, ...forms.toReversed(), ...forms]) {
    for (let i = 0; i < 3; i++) {
      const expected = Object.keys(form).length === 0 ? undefined : new Map(Object.entries(form));
      assertEquals(recent.of(form), expected);
      assertEquals(recent.of(new Map(Object.entries(form))), expected);
      assertEquals(recent.of(Object.entries(form)), expected);
    }
  }
});

Deno.test("recent metadata: bytes are copied each time, as they may change", () => {
  const recent = new RecentMetadata();
  const bytes = new Uint8Array([1]);
  const maps = Array.from({ length: 3 }, () => recent.of({ a: bytes })!);
  bytes[0] = 2;
  assertEquals(maps.map((each) => each.get("a")), Array(3).fill(new Uint8Array([1])));
  assertEquals(recent.of({ a: bytes })!.get("a"), bytes);
});

Deno.test("recent metadata: what is invalid stays invalid, also if it looks like the last", () => {
  const recent = new RecentMetadata();
  for (let i = 0; i < 3; i++) recent.of({ a: "1" });
  class Headers2 {
    a = "1";
  }
  for (
    const init of [new Headers2(), ["a", "1"], "a", null, 5, { b: undefined }, { a: 1 }, { A: "1" }, {
      "rpc-a": "1",
    }]
  ) {
    for (let i = 0; i < 2; i++) assertThrows(() => recent.of(init as unknown as MetadataInit), TypeError);
  }
});

Deno.test("metadata of calls: a server receives what each call was given, whatever the one before had", async () => {
  await using link = await Link.open({
    seen: (_: unknown, { metadata }: CallContext) => [...metadata].map(([name, value]) => `${name}=${value}`),
  });
  const changing: Record<string, string> = { a: "1" };
  const options = { metadata: changing };
  for (let i = 0; i < 40; i++) {
    if (i % 5 === 4) changing.a = String(i);
    if (i % 7 === 6) changing.b = String(i);
    if (i % 11 === 10) delete changing.b;
    const expected = Object.entries(changing).map(([name, value]) => `${name}=${value}`);
    assertEquals(await link.call("seen", null, options), expected);
  }
});

Deno.test("sendToken: sends the current token beside the metadata of each call", async () => {
  let token = "t0";
  await using link = await Link.open({
    seen: (_: unknown, { metadata }: CallContext) => [...metadata].map(([name, value]) => `${name}=${value}`),
  }, { client: { interceptors: [sendToken(() => token)] } });
  for (let i = 0; i < 60; i++) {
    if (i % 4 === 3) token = `t${i}`;
    const own = i % 6 < 3 ? undefined : { a: String(Math.floor(i / 12)) };
    const expected = [...own === undefined ? [] : [`a=${own.a}`], `authorization=Bearer ${token}`];
    assertEquals(await link.call("seen", null, { metadata: own }), expected);
  }
  token = "\ud800";
  let error: unknown;
  await link.call("seen").catch((thrown) => error = thrown);
  assert(error instanceof TypeError, String(error));
});
