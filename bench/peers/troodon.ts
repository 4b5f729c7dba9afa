// This library as a user would use it: a plain object as the service, calls by name, streams by iteration.

import { connect as dial, Server } from "../../mod.ts";
import type { PeerClient } from "../peer.ts";
import type { Load } from "../workloads.ts";
import { byteItems } from "./items.mjs";

type Addends = { a: number; b: number };

async function* stream({ count, size }: { count: number; size: number }): AsyncGenerator<Uint8Array> {
  const items = byteItems(size);
  for (let i = 0; i < count; i++) yield items[i % items.length]!;
}

async function* endlessItems(size: number): AsyncGenerator<Uint8Array> {
  const items = byteItems(size);
  for (let i = 0;; i++) yield items[i % items.length]!;
}

/** Simulates CPU-bound work. */
function addUp(count: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += i % 7;
  return sum;
}

/** @param transport What the server listens on */
export async function serve(
  { host, methods, limits, work, sharedPort }: Load,
  transport: "tcp" | "http" = "tcp",
): Promise<number> {
  const server = new Server(limits);
  const sum = work === 0
    ? ({ a, b }: Addends) => ({ sum: a + b })
    : ({ a, b }: Addends) => ({ sum: a + b, work: addUp(work) });
  const sums = Array.from({ length: methods }, (_, i) => [sumName(i), sum]);
  let received = 0;
  server.register("Arith", {
    ...Object.fromEntries(sums),
    echo: (bytes: Uint8Array) => bytes,
    stream,
    async upload(items: AsyncIterable<Uint8Array>) {
      for await (const _ of items) received++;
    },
    received: () => received,
  });
  const { address } = await server.listen(`${transport}@${host}:${sharedPort}`, {
    reusePort: sharedPort > 0,
  });
  return Number(address.slice(address.lastIndexOf(":") + 1));
}

/** @param transport How the server is dialed */
export async function connect(
  port: number,
  { host, methods, limits }: Load,
  transport: "tcp" | "ws" = "tcp",
): Promise<PeerClient> {
  const { maxConnections: _, ...both } = limits; // a server-only limit
  const client = await dial(`${transport}@${host}:${port}`, both);
  const names = Array.from({ length: methods }, (_, i) => `Arith.${sumName(i)}`);
  return {
    sum: async (a, b) => (await client.call<{ sum: number }>(names[a % methods]!, { a, b })).sum,
    echo: (bytes) => client.call<Uint8Array>("Arith.echo", bytes),
    async stream(count, size, take) {
      for await (const item of client.stream<Uint8Array>("Arith.stream", { count, size })) {
        take(item[0]!, item.length);
      }
    },
    upload: (size) => client.call("Arith.upload", endlessItems(size)),
    received: () => client.call<number>("Arith.received"),
  };
}

function sumName(i: number): string {
  return i === 0 ? "sum" : `sum${i}`;
}
