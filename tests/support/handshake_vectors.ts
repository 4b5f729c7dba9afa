// The lines of docs/vectors/handshake.json as bytes.

import { decodeHex } from "@std/encoding";
import { bytes } from "./raw_peer.ts";

/** One line of the vectors, in one of its three forms. */
export interface LineVector {
  name: string;
  line?: string;
  hex?: string;
  repeat?: { before: string; unit: string; times: number; after: string };
  lf?: boolean;
}

/** Its bytes as they are sent. */
export function lineOf({ name, line, hex, repeat, lf }: LineVector): Uint8Array<ArrayBuffer> {
  if (line !== undefined) return bytes(line, "\n");
  if (hex !== undefined) return decodeHex(hex);
  if (repeat === undefined) throw new Error(`No line in "${name}"`);
  return bytes(repeat.before, repeat.unit.repeat(repeat.times), repeat.after, lf === false ? "" : "\n");
}
