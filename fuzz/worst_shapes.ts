// Everything that `--target=worst` times: messages and heads that are as long as they may be.

import { CBOR_SHAPES } from "./worst_cbor.ts";
import { FRAME_SHAPES, LINE_SHAPES } from "./worst_heads.ts";
import { JSON_SHAPES } from "./worst_json.ts";

/** What reads a shape. */
export type Reader = "cbor" | "json" | "frame" | "line";

/** A message or head, and what reads it. */
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

/** Everything that is tried. */
export const SHAPES: readonly Shape[] = Object.entries(ALL).flatMap(([reader, shapes]) =>
  Object.entries(shapes).map(([name, make]) => ({ name, reader: reader as Reader, make }))
);
