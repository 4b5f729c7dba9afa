// The raw socket with the interface of a usual client: a promise per call, found by its number. The remaining
// difference to another peer is the cost of its protocol.

import type { PeerClient } from "../peer.ts";
import type { Load } from "../workloads.ts";
import { open, writeEcho, writeSum } from "./socket.ts";

export { serve } from "./socket.ts";

export async function connect(port: number, load: Load): Promise<PeerClient> {
  const sums = new Map<number, (sum: number) => void>();
  const echoes = new Map<number, (bytes: Uint8Array) => void>();
  let seq = 0;
  let flushing = false;
  const wire = await open(port, load, (_kind, seq, { bytes, view }, at, length) => {
    const resolve = sums.get(seq);
    if (resolve !== undefined) {
      sums.delete(seq);
      return resolve(view.getFloat64(at));
    }
    const echoed = echoes.get(seq)!;
    echoes.delete(seq);
    echoed(bytes.slice(at, at + length));
  });
  /** Calls made in one turn are sent in one write. */
  const flush = () => {
    if (flushing) return;
    flushing = true;
    queueMicrotask(() => {
      flushing = false;
      wire.flush();
    });
  };
  return {
    sum: (a, b) =>
      new Promise((resolve) => {
        sums.set(++seq, resolve);
        writeSum(wire, seq, a, b);
        flush();
      }),
    echo: (bytes) =>
      new Promise((resolve) => {
        echoes.set(++seq, resolve);
        writeEcho(wire, seq, bytes);
        flush();
      }),
  };
}
