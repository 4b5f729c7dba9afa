// Frame headers and handshake lines of maximum length that cause as much decoding work as we could find. The
// event loop turns between two frames, so each is measured alone.

import { MAX_METADATA_ENTRIES, type Metadata } from "../call/metadata.ts";
import { ByteBuffer } from "../codec/bytes.ts";
import { beginCall, endFrame, MAX_HEADER_BYTES } from "../codec/frame.ts";
import { MAX_LINE_BYTES } from "../codec/handshake_line.ts";

const encoder = new TextEncoder();
/** Maximum size of one metadata entry if there are as many as allowed. */
const ENTRY_BYTES = MAX_HEADER_BYTES / MAX_METADATA_ENTRIES - 1;
const NAME_CHARS = 64;

/** A Call with maximum metadata; `value` creates a value of up to the given number of bytes. */
function call(value: (bytes: number) => string | Uint8Array): () => Uint8Array {
  return () => {
    const metadata: Metadata = new Map(
      Array.from(
        { length: MAX_METADATA_ENTRIES },
        (_, i) => [`m${i}`.padEnd(NAME_CHARS, "x"), value(ENTRY_BYTES - NAME_CHARS - 8)],
      ),
    );
    const out = new ByteBuffer();
    beginCall(out, 1, "Arith.sum", 0, metadata);
    endFrame(out, 0);
    return out.written();
  };
}

/** A Call with a long method name. */
function method(name: string): () => Uint8Array {
  return () => {
    const out = new ByteBuffer();
    beginCall(out, 1, name, 0, undefined);
    endFrame(out, 0);
    return out.written();
  };
}

/** Frame headers, by description. */
export const FRAME_SHAPES: Record<string, () => Uint8Array> = {
  "metadata of ASCII": call((bytes) => "x".repeat(bytes)),
  "metadata of two-byte characters": call((bytes) => "é".repeat(bytes / 2)),
  "metadata of U+FFFD": call((bytes) => "\ufffd".repeat(bytes / 3)),
  "metadata of bytes": call((bytes) => new Uint8Array(bytes)),
  "a long method": method("x".repeat(MAX_HEADER_BYTES - 16)),
  "a long method of U+FFFD": method("\ufffd".repeat((MAX_HEADER_BYTES - 16) / 3)),
};

function line(text: string): () => Uint8Array {
  return () => encoder.encode(text);
}

/** Handshake lines, by description. */
export const LINE_SHAPES: Record<string, () => Uint8Array> = {
  "nested lists": line("[".repeat(MAX_LINE_BYTES - 1)),
  "many names": line(
    `{${Array.from({ length: MAX_LINE_BYTES / 12 }, (_, i) => `"n${i}":1`).join(",")},"magicNumber":3927900}`,
  ),
  "many numbers as texts": line(
    `[${Array.from({ length: MAX_LINE_BYTES / 14 }, (_, i) => `"${i * 65_536}"`).join(",")}]`,
  ),
  "a long token of escapes": line(
    `{"magicNumber":3927900,"token":"${"\\u00e9".repeat(MAX_LINE_BYTES / 6 - 9)}"}`,
  ),
};
