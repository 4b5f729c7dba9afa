// docs/protocol.cddl held against the vectors: what reads well is what it describes, and what is refused is not, but for
// what CDDL cannot say.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { decodeFirst, type Item, type Json } from "../../conformance/cbor.ts";
import type { Outgoing, Step } from "../../conformance/script.ts";
import answers from "../../docs/vectors/answers.json" with { type: "json" };
import frames from "../../docs/vectors/frames.json" with { type: "json" };
import client from "../../docs/vectors/client.json" with { type: "json" };
import server from "../../docs/vectors/server.json" with { type: "json" };
import handshake from "../../docs/vectors/handshake.json" with { type: "json" };
import { Cddl, Float } from "../support/cddl.ts";
import { lineOf, type LineVector } from "../support/handshake_vectors.ts";

const cddl = new Cddl(await Deno.readTextFile(new URL("../../docs/protocol.cddl", import.meta.url)));

/** The header of a whole frame; undefined if CDDL cannot judge it. */
function headerOf(hex: string): Item | undefined {
  const content = Uint8Array.fromHex(hex).subarray(5);
  try {
    return decodeFirst(content, (n) => new Float(n) as unknown as Item)[0];
  } catch {
    return undefined;
  }
}

/** JSON as CDDL sees it: objects are maps with text keys. */
function asMaps(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(asMaps);
  if (typeof json !== "object" || json === null) return json;
  return new Map(Object.entries(json).map(([name, value]) => [name, asMaps(value)]));
}

/** A line; undefined if it is no JSON. */
function jsonOf(vector: LineVector): unknown {
  try {
    return asMaps(
      JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(lineOf(vector))),
    );
  } catch {
    return undefined;
  }
}

Deno.test("CDDL: every good frame's header is one, of its kind", () => {
  const kinds = ["call", "reply", "error", "item", "end", "cancel", "credit", "ping", "pong", "goaway"];
  for (const { name, hex, frame } of frames.valid) {
    const header = headerOf(hex);
    assert(cddl.matches("header", header), name);
    assertEquals(kinds.filter((kind) => cddl.matches(kind, header)), [kinds[frame.kind - 1]], name);
  }
});

Deno.test("CDDL: no bad frame's header is one, but for what CDDL cannot say", () => {
  const taken = frames.malformed.filter(({ hex }) =>
    hex.startsWith("5a") && cddl.matches("header", headerOf(hex))
  );
  assertEquals(
    taken.map(({ name }) => name).filter((name) => !BEYOND_CDDL.some((reason) => reason.test(name))),
    [],
  );
  for (const reason of BEYOND_CDDL) {
    assert(taken.some(({ name }) => reason.test(name)), `${reason} is not needed`);
  }
});

/** Lengths, bodies, numbers of entries, and one name that is not to be used. */
const BEYOND_CDDL = [
  /indefinite length/,
  /^(?:end|cancel|credit|ping|pong|goaway) with a byte behind/,
  /second ping behind/,
  /65 metadata entries/,
  /__proto__/,
];

Deno.test("CDDL: every good line is one, and every answer that refuses", () => {
  for (const vector of handshake.accepted) assert(cddl.matches("option", jsonOf(vector)), vector.name);
  for (const vector of answers.accepted) assert(cddl.matches("accepted", jsonOf(vector)), vector.name);
  const lenient = answers.refusals.filter((vector) => !cddl.matches("refused", jsonOf(vector)));
  // What no server may send, though a client makes the best of it.
  assertEquals(lenient.map(({ name }) => name.replace("refusal with ", "")), [
    "an unknown code",
    "an unknown code that is a name of the language",
    "error null",
    "error that is text",
    "no code",
    "no message",
    "a message that is no text",
    "a code that is no text",
  ]);
});

Deno.test("CDDL: no bad line is one, but for the codec, the length and a byte order mark", () => {
  const options = handshake.refused.filter((vector) => cddl.matches("option", jsonOf(vector)));
  const reasons = options.map(({ name, code }) => [name, code]).filter(([, code]) =>
    code === "invalid_argument"
  );
  assertEquals(reasons, []);
  const taken = answers.wrong.filter((vector) => cddl.matches("answer", jsonOf(vector as LineVector)));
  const codecs = ["another codec", "an unknown codec", "a codec in other case"];
  assertEquals(
    taken.map(({ name }) => name).filter((name) => !codecs.includes(name) && !name.startsWith("409")),
    [],
  );
});

Deno.test("CDDL: every header that conversations send is one", () => {
  let count = 0;
  for (const conversation of [...server.conversations, ...client.conversations]) {
    for (const { send } of conversation.steps as unknown as Step[]) {
      for (const { header } of [send ?? []].flat() as Outgoing[]) {
        if (header === undefined) continue;
        count++;
        assert(cddl.matches("header", sent(header)), `${conversation.id}: ${JSON.stringify(header)}`);
      }
    }
  }
  assert(count > 300, `${count}`);
});

/** A header of a conversation as CDDL sees it: variables are numbers of calls. */
function sent(header: readonly Json[]): unknown[] {
  return header.map((field) => {
    if (typeof field === "string" && field.startsWith("$")) return 1;
    if (typeof field !== "object" || field === null) return field;
    return new Map(
      Object.entries(field).map((
        [name, value],
      ) => [name, typeof value === "object" ? new Uint8Array(0) : value]),
    );
  });
}

Deno.test("CDDL: this parser follows RFC 8610", () => {
  const small = new Cddl('a = [1, ? b] b = "x" / 2..3 ; a comment\nc = { k: a, ? l: bstr, * tstr => b }');
  assertEquals(small.names, ["a", "b", "c"]);
  const yes = [[1], [1, "x"], [1, 2], [1, 3]];
  const no = [[], [2], [1, 4], [1, "y"], [1, 2, 3], 1, [new Float(1)], [1, new Float(2)]];
  for (const value of yes) assert(small.matches("a", value));
  for (const value of no) assert(!small.matches("a", value));
  assert(small.matches("c", new Map<string, unknown>([["k", [1]], ["other", 3]])));
  assert(
    !small.matches("c", new Map<string, unknown>([["k", [1]], ["l", "x"]])),
    "a named key is judged by its name",
  );
  assert(!small.matches("c", new Map([["other", 3]])));
  for (const bad of ["a = ", "a = [1", "a = 1 a = 2", "a = 1 !", "1 = 2 =", "a = { 1: 2 }"]) {
    assertThrows(() => new Cddl(bad), SyntaxError, undefined, bad);
  }
  assertThrows(() => new Cddl("a = b").matches("a", 1), SyntaxError);
});
