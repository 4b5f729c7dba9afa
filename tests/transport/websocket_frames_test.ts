// The framing of RFC 6455: what is read and written, what is refused and with which status. The cases are those of the
// Autobahn suite that apply to binary messages without extensions.

import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  closedWith,
  headLength,
  mask,
  Opcode,
  readClose,
  WebSocketFault,
  WebSocketReader,
  writeHead,
} from "../../transport/websocket_frames.ts";
import { acceptOf, webSocketAnswer } from "../../transport/websocket_handshake.ts";
import { seeded } from "../support/random.ts";
import { bytes } from "../support/raw_peer.ts";

const KEY = bytes(0x37, 0xfa, 0x21, 0x3d);
const MAX_MESSAGE = 1_000_000;

/** A frame by hand. */
function frame(first: number, payload: Uint8Array | string, key?: Uint8Array): Uint8Array<ArrayBuffer> {
  const data = bytes(payload);
  const { length } = data;
  const masked = key === undefined ? 0 : 128;
  const size = length < 126
    ? [masked | length]
    : length < 65_536
    ? [masked | 126, length >> 8, length & 255]
    : [masked | 127, 0, 0, 0, 0, length >> 24 & 255, length >> 16 & 255, length >> 8 & 255, length & 255];
  const shown = key === undefined ? data : data.map((byte, i) => byte ^ key[i % 4]!);
  return bytes(first, ...size, key ?? "", shown);
}

interface Seen {
  data: Uint8Array;
  controls: [number, string][];
}

/** What a reader makes of bytes that come in pieces. */
function readAll(wire: Uint8Array, cuts: Iterable<number>, masked: boolean, max = MAX_MESSAGE): Seen {
  const controls: [number, string][] = [];
  const reader = new WebSocketReader(masked, max, (opcode, payload) => {
    controls.push([opcode, new TextDecoder().decode(payload)]);
  });
  const parts: Uint8Array[] = [];
  let from = 0;
  for (const to of [...cuts, wire.length]) {
    const piece = wire.slice(from, to);
    parts.push(piece.slice(0, reader.take(piece, piece.length)));
    from = to;
    if (reader.fault !== undefined) throw reader.fault;
  }
  return { data: bytes(...parts), controls };
}

Deno.test("websocket frames: the examples of RFC 6455 are read", () => {
  const hello = bytes("Hello");
  for (
    const [wire, masked] of [
      [bytes(0x82, 0x05, hello), false],
      [bytes(0x82, 0x85, KEY, 0x7f, 0x9f, 0x4d, 0x51, 0x58), true],
      [bytes(0x02, 0x03, "Hel", 0x80, 0x02, "lo"), false],
      [bytes(0x82, 0x7e, 0x00, 0x05, hello), false],
    ] as const
  ) {
    assertEquals(readAll(wire, [], masked), { data: hello, controls: [] });
  }
  assertEquals(readAll(bytes(0x89, 0x05, hello), [], false).controls, [[Opcode.Ping, "Hello"]]);
});

Deno.test("websocket frames: every payload length is read, in whatever pieces it comes", () => {
  const random = seeded(2);
  for (const key of [undefined, KEY]) {
    for (const length of [0, 1, 125, 126, 127, 128, 65_535, 65_536, 70_001]) {
      const data = new Uint8Array(length).map(() => random() * 256);
      const wire = bytes(frame(0x82, data, key), frame(0x89, "between", key), frame(0x82, data, key));
      const all: Seen = { data: bytes(data, data), controls: [[Opcode.Ping, "between"]] };
      assertEquals(readAll(wire, [], key !== undefined), all);
      for (let i = 0; i < 5; i++) {
        const cuts = [...wire.keys()].filter(() => random() < 4 / wire.length);
        assertEquals(readAll(wire, cuts, key !== undefined), all, `${length} bytes cut at ${cuts}`);
      }
      if (length < 200) assertEquals(readAll(wire, wire.keys(), key !== undefined), all);
    }
  }
});

Deno.test("websocket frames: control frames are taken between fragments", () => {
  const wire = bytes(
    frame(0x02, "a", KEY),
    frame(0x89, "ping", KEY),
    frame(0x00, "", KEY),
    frame(0x8a, "pong", KEY),
    frame(0x80, "b", KEY),
    frame(0x82, "c", KEY),
  );
  const controls: Seen["controls"] = [[Opcode.Ping, "ping"], [Opcode.Pong, "pong"]];
  assertEquals(readAll(wire, wire.keys(), true), { data: bytes("abc"), controls });
});

Deno.test("websocket frames: what follows a Close frame is dropped", () => {
  const wire = bytes(frame(0x82, "a"), frame(0x88, bytes(3, 232)), frame(0x82, "b"), 0xff, 0xff);
  assertEquals(readAll(wire, [], false).data, bytes("a"));
  assertEquals(readAll(wire, wire.keys(), false).data, bytes("a"));
});

const WRONG: [string, number, Uint8Array][] = [
  ["RSV1, as compression sets it", 1002, frame(0xc2, "x", KEY)],
  ["RSV2", 1002, frame(0xa2, "x", KEY)],
  ["RSV3 on a ping", 1002, frame(0x99, "", KEY)],
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode): [string, number, Uint8Array] => [
    `opcode ${opcode}`,
    1002,
    frame(0x80 | opcode, "", KEY),
  ]),
  ["a frame without a mask", 1002, frame(0x82, "x")],
  ["a ping in fragments", 1002, frame(0x09, "x", KEY)],
  ["a ping of 126 bytes", 1002, frame(0x89, new Uint8Array(126), KEY)],
  ["a Close frame of 126 bytes", 1002, frame(0x88, new Uint8Array(126), KEY)],
  ["a continuation of nothing", 1002, frame(0x80, "x", KEY)],
  ["a message inside another", 1002, bytes(frame(0x02, "a", KEY), frame(0x82, "b", KEY))],
  [
    "a continuation behind the last fragment",
    1002,
    bytes(frame(0x02, "a", KEY), frame(0x80, "b", KEY), frame(0x80, "c", KEY)),
  ],
  ["text", 1003, frame(0x81, "x", KEY)],
  ["the first fragment of a text", 1003, frame(0x01, "x", KEY)],
  ["a message that is too long", 1009, bytes(0x82, 0xff, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x41, KEY)],
  ["a length of 64 bits", 1009, bytes(0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, KEY)],
  [
    "fragments that are too long together",
    1009,
    bytes(frame(0x02, new Uint8Array(600_000), KEY), frame(0x80, new Uint8Array(400_001), KEY)),
  ],
];

for (const [what, status, wire] of WRONG) {
  Deno.test(`websocket frames: ${what} is refused with ${status}`, () => {
    const fault = assertThrows(() => readAll(wire, [], true), WebSocketFault);
    assertEquals(fault.status, status);
  });
}

Deno.test("websocket frames: a masked frame of a server is refused with 1002", () => {
  assertEquals(assertThrows(() => readAll(frame(0x82, "x", KEY), [], false), WebSocketFault).status, 1002);
});

Deno.test("websocket frames: fragments of one message count together, messages do not", () => {
  const half = frame(0x82, new Uint8Array(600_000), KEY);
  assertEquals(readAll(bytes(half, half, half), [], true).data.length, 1_800_000);
});

Deno.test("websocket frames: a flood of pings or empty frames is refused with 1008", () => {
  for (const first of [0x89, 0x8a, 0x82]) {
    const one = frame(first, "", KEY);
    const fault = assertThrows(
      () => readAll(bytes(...Array(10_000).fill(one)), [], true),
      WebSocketFault,
    );
    assertEquals(fault.status, 1008);
  }
});

Deno.test("websocket frames: the statuses of Close frames", () => {
  const payload = (status: number, reason = "") => bytes(status >> 8, status & 255, reason);
  assertEquals(readClose(bytes()), { status: 1005, reason: "" });
  for (const status of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]) {
    assertEquals(readClose(payload(status, "why")), { status, reason: "why" });
  }
  for (const status of [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535]) {
    assertEquals(assertThrows(() => readClose(payload(status)), WebSocketFault).status, 1002);
  }
  assertEquals(assertThrows(() => readClose(bytes(3)), WebSocketFault).status, 1002);
  assertEquals(assertThrows(() => readClose(bytes(3, 232, 0xce, 0xba, 0xe1)), WebSocketFault).status, 1007);
});

Deno.test("websocket frames: a peer that closes for a fault of this side differs from one that leaves", () => {
  for (const status of [1002, 1003, 1007, 1008, 1009, 4002, 4003, 4008]) {
    assert(closedWith(status) instanceof WebSocketFault, `${status}`);
  }
  for (const status of [1000, 1001, 1005, 1006, 1011, 3333, 4000, 4999]) {
    assert(!(closedWith(status) instanceof WebSocketFault), `${status}`);
  }
});

Deno.test("websocket frames: heads are as short as they can be, and read as what was written", () => {
  for (const length of [0, 125, 126, 65_535, 65_536, 2 ** 31, 2 ** 33 + 5]) {
    for (const key of [undefined, KEY]) {
      const head = new Uint8Array(14);
      const end = writeHead(head, 0, Opcode.Binary, length, key);
      assertEquals(end, headLength(length, key !== undefined));
      assertEquals(
        [...head.subarray(0, 2)],
        [0x82, (key === undefined ? 0 : 128) | (length < 126 ? length : length < 65_536 ? 126 : 127)],
      );
      let read = head[1]! & 127;
      if (read > 125) {
        const long = read === 127;
        read = Number(new DataView(head.buffer).getBigUint64(long ? 2 : 0) & (long ? ~0n : 0xffffn));
        if (!long) read = new DataView(head.buffer).getUint16(2);
      }
      assertEquals(read, length);
    }
  }
});

Deno.test("websocket frames: masking is the same at every place, length and phase", () => {
  const random = seeded(3);
  const buffer = new Uint8Array(400);
  for (let i = 0; i < 2_000; i++) {
    const bytes = buffer.subarray(Math.floor(random() * 8));
    for (let j = 0; j < bytes.length; j++) bytes[j] = random() * 256;
    const at = Math.floor(random() * 100), end = at + Math.floor(random() * 200), phase = i & 3;
    const expected = bytes.map((byte, j) => j < at || j >= end ? byte : byte ^ KEY[(phase + j - at) % 4]!);
    assertEquals(mask(bytes, at, end, KEY, 0, phase), (phase + end - at) % 4);
    assertEquals(bytes, expected);
  }
});

Deno.test("websocket handshake: the key is answered as in RFC 6455, and what is missing is named", async () => {
  assertEquals(await acceptOf("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  const good = {
    connection: "keep-alive, Upgrade",
    upgrade: "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
  };
  assert(await webSocketAnswer(new Headers(good)) instanceof Uint8Array);
  const statusOf = async (changes: Record<string, string>) =>
    (await webSocketAnswer(new Headers({ ...good, ...changes })) as Response).status;
  assertEquals(await statusOf({ "sec-websocket-version": "8" }), 426);
  assertEquals(await statusOf({ "sec-websocket-key": "short" }), 400);
  assertEquals(await statusOf({ "sec-websocket-key": "" }), 400);
  assertEquals(await statusOf({ connection: "close" }), 400);
});
