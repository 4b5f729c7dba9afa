// cbor-x for codec_bench.ts. It is told to copy byte strings, as ours does: without, it would give out views of the
// message, which is the buffer of a connection.

import { Encoder } from "npm:cbor-x@1.6.8";

export const cborX = new Encoder({ useRecords: false, tagUint8Array: false, copyBuffers: true });
