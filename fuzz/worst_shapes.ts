// All shapes that `--target=worst` measures: messages and headers of maximum length.

import { CBOR_SHAPES } from "./worst_cbor.ts";
import { FRAME_SHAPES, LINE_SHAPES } from "./worst_heads.ts";
import { JSON_SHAPES } from "./worst_json.ts";

/** The decoder of a shape. */
export type Reader = "cbor" | "json" | "frame" | "line";

/** A message or header, and its decoder. */
export interface Shape {
  readonly name: string;
  readonly reader: Reader;
  readonly make: () => Uint8Array;
}

const ALL: Record<Reader, Record<string, () => Uint8Array>> = {
  cbor: CBOR_SHAPES,
  json: JSON_SHAPES,
  frame: FRAME_SHAPES,
  line: LINE_SHAPES,
};

/** All shapes. */
export const SHAPES: readonly Shape[] = Object.entries(ALL).flatMap(([reader, shapes]) =>
  Object.entries(shapes).map(([name, make]) => ({ name, reader: reader as Reader, make }))
);
