// The table of codecs, and what every codec in it has to do.

import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { ByteBuffer, CborCodec, type Codec, CodecTable, decode, encode, JsonCodec } from "../../codec/mod.ts";

const named = (name: string): Codec => ({ name, encode() {}, decode() {} });

Deno.test("CodecTable returns codecs by their exact name", () => {
  const text = named("text/plain");
  const table = new CodecTable([new JsonCodec(), text]);
  assertStrictEquals(table.get("text/plain"), text);
  assertEquals(table.names, ["application/json", "text/plain"]);
  for (const name of ["application/cbor", "TEXT/plain", "", "constructor", "__proto__"]) {
    assertEquals(table.get(name), undefined);
  }
  assertEquals(new CodecTable().names, []);
});

Deno.test("CodecTable.standard has codecs of its own each time", () => {
  const table = CodecTable.standard();
  assertEquals(table.names, ["application/cbor", "application/json"]);
  assert(table.get("application/cbor") !== CodecTable.standard().get("application/cbor"));
});

Deno.test("CodecTable refuses duplicate names and names that are not media types", () => {
  const table = CodecTable.standard();
  assertThrows(() => table.register(new CborCodec()), TypeError, "application/cbor is registered already");
  const wrong = [
    "",
    "cbor",
    "/",
    "a/",
    "/b",
    "a/b/c",
    "a/b;c=d",
    "a b/c",
    "Application/x",
    "a/b\n",
    `a/${"b".repeat(128)}`,
  ];
  for (const name of wrong) {
    assertThrows(() => table.register(named(name)), TypeError, "not a media type", name);
  }
  for (const name of ["application/vnd.msgpack+x", "a/b"]) table.register(named(name));
  assertThrows(() => new CodecTable([named("a/b"), named("a/b")]), TypeError, "registered already");
});

for (const codec of [new CborCodec(), new JsonCodec()]) {
  Deno.test(`the codec seam: ${codec.name} appends, reads a part, keeps nothing of the bytes`, () => {
    const value = { a: [1, "text", "a longer text ".repeat(30), null], b: { c: true } };
    const alone = encode(codec, value);
    const out = new ByteBuffer(1);
    out.append(Uint8Array.of(1, 2, 3));
    codec.encode(value, out);
    assertEquals(out.written(), Uint8Array.of(1, 2, 3, ...alone));
    out.append(Uint8Array.of(0xff, 0x22));
    const decoded = codec.decode(out.bytes, 3, 3 + alone.length);
    out.bytes.fill(0);
    assertEquals(decoded, value);
    assertEquals(decode(codec, alone), value);
  });

  Deno.test(`the codec seam: ${codec.name} takes exactly one value and works on after a refusal`, () => {
    const alone = encode(codec, [1]);
    assertThrows(() => codec.decode(alone, 0, alone.length - 1), Error);
    assertThrows(() => decode(codec, Uint8Array.of(...alone, ...alone)), Error);
    assertThrows(() => codec.decode(alone, 0, 0), Error);
    assertThrows(() => encode(codec, [() => {}]), TypeError, "at [0]");
    assertEquals(decode(codec, encode(codec, [1])), [1]);
  });
}
