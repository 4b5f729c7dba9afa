// Benchmarks the codecs against cbor-x, the fastest CBOR library known, and JSON with the platform's
// TextEncoder and TextDecoder. Run by `deno bench -A bench/codec_bench.ts`; only ratios within one run are
// meaningful.
//
// Our codec encodes into a reused buffer, as connections do; cbor-x cannot (it writes into its own buffer and
// returns parts of it). cbor-x is set to copy byte strings, as our codec does: otherwise it would return
// views of the message, which is the buffer of a connection.

import { Encoder } from "npm:cbor-x@1.6.8";
import { ByteBuffer, CborCodec } from "../codec/mod.ts";

const MESSAGES: Record<string, unknown> = {
  "small body": { a: 1, b: 2 },
  "array header": [1, 7, "Arith.Sum", 30_000],
  "nested 1 KiB": order(7),
  "64 KiB bytes": new Uint8Array(65_536).fill(7),
  "1000 objects": Array.from({ length: 1000 }, (_, i) => person(i)),
  "non-ASCII text": Array.from(
    { length: 8 },
    (_, i) => `Größe ${i}: 水は方円の器に随う – ça va très bien, Ελλάδα 😀`,
  ),
};

function person(i: number) {
  return {
    id: i,
    name: `user${i}`,
    email: `user${i}@example.com`,
    active: i % 2 === 0,
    score: i * 1.25,
    tags: ["a", "b"],
  };
}

function order(i: number) {
  const line = (n: number) => ({
    sku: `SKU-${n}`,
    quantity: n,
    price: 9.99 + n,
    options: { gift: n % 2 === 0, color: "blue" },
  });
  return {
    orderId: 100_000 + i,
    customer: {
      ...person(i),
      address: { street: "1 Main Street", city: "Springfield", zip: "12345", country: "US" },
    },
    lines: [1, 2, 3, 4, 5, 6, 7, 8].map(line),
    total: 123.45,
    createdAt: 1_700_000_000_000,
    note: "leave at the door, ring twice, mind the dog",
    status: "paid",
  };
}

const codec = new CborCodec();
const out = new ByteBuffer(1 << 20);
const cborX = new Encoder({ useRecords: false, tagUint8Array: false, copyBuffers: true } as object);
const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder();

for (const [name, value] of Object.entries(MESSAGES)) {
  out.length = 0;
  codec.encode(value, out);
  const bytes = out.written().slice();
  const foreign = Uint8Array.from(cborX.encode(value));
  const json = textEncoder.encode(JSON.stringify(value));

  Deno.bench(`CborCodec`, { group: `encode ${name}`, baseline: true }, () => {
    out.length = 0;
    codec.encode(value, out);
  });
  Deno.bench(`cbor-x`, { group: `encode ${name}` }, () => {
    cborX.encode(value);
  });
  Deno.bench(`CborCodec`, { group: `decode ${name}`, baseline: true }, () => {
    codec.decode(bytes, 0, bytes.length);
  });
  Deno.bench(`cbor-x`, { group: `decode ${name}` }, () => {
    cborX.decode(foreign);
  });
  if (value instanceof Uint8Array) continue;
  Deno.bench(`JSON`, { group: `encode ${name}` }, () => {
    textEncoder.encode(JSON.stringify(value));
  });
  Deno.bench(`JSON`, { group: `decode ${name}` }, () => {
    JSON.parse(textDecoder.decode(json));
  });
}
