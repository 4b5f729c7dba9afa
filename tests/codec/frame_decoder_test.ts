// The reading of frames, pure: every published vector in every split, bounds of bodies, and how much memory
// a frame may take before it has arrived.

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { decodeHex, encodeHex } from "@std/encoding";
import { RpcError } from "../../call/error.ts";
import { Kind } from "../../codec/frame.ts";
import { FrameDecoder } from "../../codec/frame_decoder.ts";
import { KeyCache } from "../../codec/key_cache.ts";
import { call, end, headerOf, pong, reply } from "../support/frames.ts";
import { seeded } from "../support/random.ts";
import { bytes, cbor, frame, framed } from "../support/raw_peer.ts";
import vectors from "../../docs/vectors/frames.json" with { type: "json" };

const MAX_FRAME = 4_194_304;
const names = new KeyCache();

/** The fields of a frame that count for its kind, in the form of the vectors. */
function fields(decoder: FrameDecoder): Record<string, unknown> {
  const { kind, seq } = decoder;
  const read: Record<string, unknown> = { kind };
  read[kind === Kind.Ping || kind === Kind.Pong ? "n" : kind === Kind.GoAway ? "lastSeq" : "seq"] = seq;
  if (kind === Kind.Call) Object.assign(read, { method: decoder.method, timeout: decoder.timeout });
  if (kind === Kind.Error || kind === Kind.GoAway) {
    Object.assign(read, { code: decoder.code, message: decoder.message });
  }
  if (kind === Kind.Credit) Object.assign(read, { items: decoder.items, bytes: decoder.creditBytes });
  if ((kind <= Kind.Error || kind === Kind.End) && decoder.metadata !== undefined) {
    read.metadata = Object.fromEntries(
      [...decoder.metadata].map((
        [name, value],
      ) => [name, typeof value === "string" ? value : { hex: encodeHex(value) }]),
    );
  }
  return read;
}

function body(decoder: FrameDecoder): Uint8Array {
  return decoder.bytes.slice(decoder.bodyStart, decoder.bodyEnd);
}

/** Hands `data` over in the parts that `sizes` gives, and calls `found` at each frame. */
function feed(decoder: FrameDecoder, data: Uint8Array, sizes: () => number, found: () => void): void {
  for (let at = 0; at < data.length;) {
    const space = decoder.space();
    assert(space.length > 0, "There must always be room for a byte");
    const count = Math.min(sizes(), space.length, data.length - at);
    space.set(data.subarray(at, at + count));
    decoder.filled(count);
    at += count;
    while (decoder.next()) found();
  }
}

/** Ways to split a stream of bytes. */
const SPLITS: [string, () => () => number][] = [
  ["whole", () => () => Infinity],
  ["byte by byte", () => () => 1],
  ...[1, 2, 3].map((seed): [string, () => () => number] => {
    return [`in random parts, seed ${seed}`, () => {
      const random = seeded(seed);
      return () => 1 + Math.floor(random() * 9);
    }];
  }),
];

function refusalOf(data: Uint8Array, sizes: () => number): RpcError | undefined {
  try {
    feed(new FrameDecoder(MAX_FRAME, names), data, sizes, () => {});
    return undefined;
  } catch (error) {
    assertInstanceOf(error, RpcError);
    return error;
  }
}

function generated({ repeat }: typeof vectors.generated[number]): Uint8Array<ArrayBuffer> {
  const unit = decodeHex(repeat.unit);
  const middle = new Uint8Array(unit.length * repeat.times);
  for (let at = 0; at < middle.length; at += unit.length) middle.set(unit, at);
  return bytes(decodeHex(repeat.before), middle, decodeHex(repeat.after));
}

for (const [split, sizes] of SPLITS) {
  Deno.test(`frames: every valid vector reads as it says, ${split}`, () => {
    for (const vector of vectors.valid) {
      const decoder = new FrameDecoder(MAX_FRAME, names);
      let found = 0;
      feed(decoder, decodeHex(vector.hex), sizes(), () => {
        found++;
        assertEquals(fields(decoder), vector.frame, vector.name);
        assertEquals(encodeHex(body(decoder)), vector.body ?? "", vector.name);
      });
      assertEquals([found, decoder.partial], [1, 0], vector.name);
    }
  });

  Deno.test(`frames: every malformed vector is refused with its code, ${split}`, () => {
    for (const vector of vectors.malformed) {
      assertEquals(refusalOf(decodeHex(vector.hex), sizes())?.code, vector.code, vector.name);
    }
  });
}

Deno.test("frames: the long vectors are read or refused as they say, in parts of up to 64 KiB", () => {
  for (const vector of vectors.generated) {
    for (const seed of [1, 2, 3]) {
      const random = seeded(seed);
      const error = refusalOf(generated(vector), () => 1 + Math.floor(random() * 65_536));
      assertEquals(error?.code ?? null, vector.code, vector.name);
    }
  }
});

Deno.test("frames: no proper prefix of a valid vector is a frame, or an error", () => {
  for (const vector of vectors.valid) {
    const whole = decodeHex(vector.hex);
    for (let length = 0; length < whole.length; length++) {
      const decoder = new FrameDecoder(MAX_FRAME, names, whole.slice(0, length));
      assertEquals([decoder.next(), decoder.partial], [false, length], `${vector.name}, ${length} bytes`);
    }
  }
});

Deno.test("frames: all valid vectors in one stream come out one by one, whatever the split", () => {
  const stream = bytes(...vectors.valid.map(({ hex }) => decodeHex(hex)));
  for (let seed = 1; seed <= 50; seed++) {
    const random = seeded(seed);
    const largest = 2 ** (seed % 13);
    const decoder = new FrameDecoder(MAX_FRAME, names);
    let found = 0;
    feed(decoder, stream, () => 1 + Math.floor(random() * largest), () => {
      const vector = vectors.valid[found++]!;
      assertEquals(fields(decoder), vector.frame, `seed ${seed}, ${vector.name}`);
      assertEquals(encodeHex(body(decoder)), vector.body ?? "", `seed ${seed}, ${vector.name}`);
    });
    assertEquals([found, decoder.partial], [vectors.valid.length, 0]);
  }
});

Deno.test("frames: bytes that followed the handshake are read first", () => {
  const decoder = new FrameDecoder(MAX_FRAME, names, bytes(call(1, "A.b", 1), call(3, "A.c", 2)));
  assertEquals([decoder.next(), decoder.seq, decoder.method], [true, 1, "A.b"]);
  assertEquals([decoder.next(), decoder.seq, decoder.method], [true, 3, "A.c"]);
  assertEquals(decoder.next(), false);
});

Deno.test("frames: a body ends where its frame ends, not where the next begins", () => {
  const decoder = new FrameDecoder(MAX_FRAME, names);
  const bodies: string[] = [];
  const stream = bytes(
    frame(headerOf.reply(1), bytes("a")),
    reply(3),
    frame(headerOf.reply(5), bytes("ccc")),
    pong(7),
  );
  feed(decoder, stream, () => Infinity, () => bodies.push(new TextDecoder().decode(body(decoder))));
  assertEquals(bodies, ["a", "", "ccc", ""]);
});

Deno.test("frames: a field of one frame is not left over in the next", () => {
  const decoder = new FrameDecoder(MAX_FRAME, names);
  const metadata: unknown[] = [];
  feed(
    decoder,
    bytes(
      frame(headerOf.reply(1, new Map([["a", "x"]]))),
      reply(3),
      call(5, "A.b", 1),
      end(7, new Map([["a", "y"]])),
      end(9),
    ),
    () => Infinity,
    () => metadata.push(decoder.metadata?.get("a")),
  );
  assertEquals(metadata, ["x", undefined, undefined, "y", undefined]);
});

Deno.test("frames: metadata bytes are a copy that later frames do not change", () => {
  const decoder = new FrameDecoder(MAX_FRAME, names);
  const kept: Uint8Array[] = [];
  const stream = bytes(...[1, 2, 3, 4].map((n) => {
    return frame(headerOf.reply(n * 2 + 1, new Map([["a", new Uint8Array(400).fill(n)]])));
  }));
  feed(decoder, stream, () => 100, () => kept.push(decoder.metadata!.get("a") as Uint8Array));
  assertEquals(kept.map((part) => new Set(part)), [1, 2, 3, 4].map((n) => new Set([n])));
});

Deno.test("frames: a frame that is declared and does not arrive takes no memory", () => {
  const decoder = new FrameDecoder(MAX_FRAME, names);
  feed(decoder, bytes(0x5a, 0x00, 0x40, 0x00, 0x00, "\x84\x01\x01ab"), () => 1, () => {});
  decoder.space();
  assert(decoder.bytes.length <= 4_096, `${decoder.bytes.length} bytes for 10 that arrived`);
});

Deno.test("frames: the buffer of a long frame grows with what arrives, not with what is declared", () => {
  const decoder = new FrameDecoder(MAX_FRAME, names);
  const long = framed(bytes(cbor([2, 1]), new Uint8Array(1_000_000)));
  let arrived = 0, frames = 0;
  for (let at = 0; at < long.length;) {
    const space = decoder.space();
    const count = Math.min(1_000, space.length, long.length - at);
    space.set(long.subarray(at, at + count));
    decoder.filled(count);
    arrived = at += count;
    const most = Math.min(4 * arrived + 1_024, long.length + 1_024);
    assert(decoder.bytes.length <= most, `${decoder.bytes.length} bytes for ${arrived} that arrived`);
    while (decoder.next()) frames++;
  }
  assertEquals([frames, body(decoder).length], [1, 1_000_000]);
  decoder.trim();
  decoder.space();
  assert(decoder.bytes.length <= 1_024, "A quiet connection gives its large buffer back");
});

Deno.test("frames: a frame above maxFrameBytes is rejected when its length is read", () => {
  for (
    const [limit, length, code] of [
      [65_536, 65_536, undefined],
      [65_536, 65_537, "resource_exhausted"],
      [MAX_FRAME, 0xffffffff, "resource_exhausted"],
      [MAX_FRAME, 0, "invalid_argument"],
    ] as const
  ) {
    const head = bytes(0x5a, length >>> 24, length >>> 16 & 255, length >>> 8 & 255, length & 255);
    const decoder = new FrameDecoder(limit, names, head);
    let error: unknown;
    try {
      assertEquals(decoder.next(), false);
    } catch (thrown) {
      error = thrown;
    }
    assertEquals((error as RpcError | undefined)?.code, code, `${length} of ${limit}`);
  }
});

Deno.test("frames: random bytes are refused or incomplete, and never more than an RpcError", () => {
  const random = seeded(7);
  const valid = vectors.valid.map(({ hex }) => decodeHex(hex));
  for (let run = 0; run < 20_000; run++) {
    const mutant = valid[Math.floor(random() * valid.length)]!.slice();
    for (let flips = 1 + Math.floor(random() * 3); flips > 0; flips--) {
      // After the head, so that the header is judged.
      mutant[5 + Math.floor(random() * (mutant.length - 5))] = Math.floor(random() * 256);
    }
    const error = refusalOf(mutant, () => Infinity);
    if (error !== undefined) {
      assert(["invalid_argument", "resource_exhausted"].includes(error.code), error.message);
      assert(error.message.length < 300, "A message does not repeat what came at length");
    }
  }
});
