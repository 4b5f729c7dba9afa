// The handshake's lines, pure: every published vector, what an answer must hold, and what a refusal may repeat.

import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import {
  type Answer,
  decodeAnswer,
  decodeOption,
  encodeAnswer,
  encodeOption,
  encodeRefusal,
  MAX_LINE_BYTES,
  type Option,
} from "../../codec/handshake_line.ts";
import { lineOf } from "../support/handshake_vectors.ts";
import vectors from "../../docs/vectors/handshake.json" with { type: "json" };

const utf8 = new TextEncoder();

/** What is judged by the time that it takes to come, and not by what it says. */
const BY_THE_READER = new Set(["TLS ClientHello, no LF in it", "binary garbage without LF"]);

Deno.test("option: every accepted vector decodes to its fields", () => {
  for (const vector of vectors.accepted) {
    const line = lineOf(vector);
    const { magicNumber: _, version: __, ...option } = vector.option;
    assertEquals<unknown>(decodeOption(line.subarray(0, -1)), { token: undefined, ...option }, vector.name);
  }
});

Deno.test("option: every refused vector is refused with its code", () => {
  let judged = 0;
  for (const vector of vectors.refused) {
    const line = lineOf(vector);
    if (line.length > MAX_LINE_BYTES || BY_THE_READER.has(vector.name)) continue;
    // Whether the codec is known is the server's to say.
    if (vector.code === "unimplemented" && vector.name.includes("codec")) continue;
    const end = line.at(-1) === 10 ? -1 : line.length;
    const error = assertThrows(() => decodeOption(line.subarray(0, end)), RpcError);
    assertEquals([error.code, error.notStarted], [vector.code, true], vector.name);
    judged++;
  }
  assert(judged > 80);
});

Deno.test("option: encode and decode round-trip", () => {
  const option: Option = {
    codecType: "application/json",
    connectTimeout: 250,
    handleTimeout: 1_500,
    maxFrameBytes: 65_536,
    token: 'clé "🔑"\n',
  };
  const line = encodeOption(option);
  assertEquals(line.indexOf(10), line.length - 1, "one LF, at the end");
  assertEquals(decodeOption(line.subarray(0, -1)), option);
});

const ANSWER: Answer = {
  codecType: "application/cbor",
  handleTimeout: 0,
  maxFrameBytes: 65_536,
  maxInFlight: 16,
  heartbeatInterval: 0,
  maxConnectionAge: 0,
  maxConnectionIdle: 0,
};

function judged(fields: Record<string, unknown>): Answer {
  return decodeAnswer(utf8.encode(JSON.stringify(fields)), "application/cbor");
}

Deno.test("answer: encode and decode round-trip", () => {
  for (const answer of [ANSWER, { ...ANSWER, maxConnectionAge: 90_000, maxConnectionIdle: 1 }]) {
    const line = encodeAnswer(answer);
    assertEquals(decodeAnswer(line.subarray(0, -1), answer.codecType), answer);
  }
});

Deno.test("answer: the end of the connection is optional, and left out where there is none", () => {
  const line = new TextDecoder().decode(encodeAnswer(ANSWER));
  assert(!line.includes("maxConnection"), line);
  const { maxConnectionAge: _age, maxConnectionIdle: _idle, ...rest } = ANSWER;
  const good = { magicNumber: 3_927_900, version: 1, ...rest };
  assertEquals(judged(good), ANSWER);
  for (const name of ["maxConnectionAge", "maxConnectionIdle"]) {
    for (const value of [null, "1", -1, 1.5, 2 ** 53, [1], true]) {
      assertThrows(() => judged({ ...good, [name]: value }), RpcError, name, `${name} ${value}`);
    }
  }
});

Deno.test("answer: all its other fields are required, of their type and in their range", () => {
  const { maxConnectionAge: _age, maxConnectionIdle: _idle, ...rest } = ANSWER;
  const good = { magicNumber: 3_927_900, version: 1, ...rest };
  assertEquals(judged({ ...good, unknown: [1], token: 7 }), ANSWER);
  for (const name of Object.keys(good)) {
    const { [name]: _, ...rest } = good as Record<string, unknown>;
    assertThrows(() => judged(rest), RpcError, undefined, `without ${name}`);
    for (const value of [null, "1", -1, 1.5, 2 ** 53, [1], true]) {
      assertThrows(() => judged({ ...good, [name]: value }), RpcError, undefined, `${name} ${value}`);
    }
  }
  assertThrows(() => judged({ ...good, maxFrameBytes: 65_535 }), RpcError, "maxFrameBytes");
  assertThrows(() => judged({ ...good, maxInFlight: 15 }), RpcError, "maxInFlight");
  assertThrows(() => judged({ ...good, version: 2 }), RpcError, "version 2");
  assertThrows(() => judged({ ...good, codecType: "application/json" }), RpcError, "application/json");
});

Deno.test("answer: a line with an error is a refusal, whatever other fields it has", () => {
  const cases: [unknown, string][] = [
    [{ code: "unavailable", message: "Later" }, "unavailable"],
    [{ code: "teapot", message: "Later" }, "unknown"],
    [{ code: 7 }, "unknown"],
    ["no", "unknown"],
    [null, "unknown"],
    [[], "unknown"],
  ];
  for (const [error, code] of cases) {
    const thrown = assertThrows(
      () => judged({ magicNumber: 3_927_900, version: 1, ...ANSWER, error }),
      RpcError,
    );
    assertEquals([thrown.code, thrown.remote, thrown.notStarted], [code, true, true]);
  }
});

Deno.test("refusal: one line within the limit that the client reads back, however long the message", () => {
  for (const character of ["x", "\0", "\n", "\ud800", "☺"]) {
    const line = encodeRefusal(new RpcError("unauthenticated", character.repeat(10_000)));
    assert(line.length <= MAX_LINE_BYTES, `${line.length} bytes`);
    assertEquals(line.indexOf(10), line.length - 1);
    const thrown = assertThrows(() => decodeAnswer(line.subarray(0, -1), "application/cbor"), RpcError);
    assertEquals([thrown.code, thrown.remote], ["unauthenticated", true]);
  }
});

Deno.test("refusal: at most 64 bytes of an option come back, whatever they are", () => {
  const long = '☺\u0000"<script>'.repeat(100);
  for (
    const fields of [
      { magicNumber: long },
      { magicNumber: [long] },
      { magicNumber: 3_927_900, version: long },
      { magicNumber: 3_927_900, handleTimeout: { [long]: long } },
      { magicNumber: 3_927_900, codecType: [long] },
      { magicNumber: 3_927_900, token: { long } },
    ]
  ) {
    let error: unknown;
    try {
      decodeOption(utf8.encode(JSON.stringify(fields)));
    } catch (thrown) {
      error = thrown;
    }
    assertInstanceOf(error, RpcError);
    assert(utf8.encode(error.message).length < 64 + 100, error.message);
    assert(!error.message.includes(long.slice(0, 22)), error.message);
  }
});

Deno.test("option: a line that would reach into prototypes reads as one without those fields", () => {
  const line = '{"magicNumber":3927900,"__proto__":{"codecType":"x","token":"y"},"constructor":1}';
  assertEquals(decodeOption(utf8.encode(line)).codecType, "application/cbor");
  assertEquals(decodeOption(utf8.encode(line)).token, undefined);
});
