// This library as a user would use it: a plain object as the service, calls by name, streams by iteration.

import {
  type Client,
  connect as dial,
  defineService,
  type Interceptor,
  method,
  MultiServers,
  oneOfTokens,
  requireToken,
  sendToken,
  Server,
} from "../../mod.ts";
import type { BenchRecord, PeerClient } from "../peer.ts";
import type { Load, Variant } from "../workloads.ts";
import { byteItems, recordList } from "./items.mjs";

type Addends = { a: number; b: number };

export const variants: readonly Variant[] = ["async", "interceptor", "token", "contract"];

const TOKEN = "0123456789abcdef0123456789abcdef";
const passOn: Interceptor = async (call, next) => await next(call);

async function contract() {
  const { z } = await import("npm:zod@4.6.7");
  const args = z.object({ a: z.number(), b: z.number() });
  return defineService("Checked", { sum: method({ args, result: z.object({ sum: z.number() }) }) });
}

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

async function sumLater({ a, b }: Addends): Promise<{ sum: number }> {
  await null;
  return { sum: a + b };
}

function sumHandler({ work, variant }: Load) {
  if (variant === "async") return sumLater;
  if (work === 0) return ({ a, b }: Addends) => ({ sum: a + b });
  return ({ a, b }: Addends) => ({ sum: a + b, work: addUp(work) });
}

/** @param transport What the server listens on */
export async function serve(load: Load, transport: "tcp" | "http" = "tcp"): Promise<number> {
  const { host, methods, limits, sharedPort, variant } = load;
  const server = new Server(limits);
  if (variant === "interceptor") server.use(passOn);
  if (variant === "token") server.use(requireToken(oneOfTokens([TOKEN])));
  if (variant === "contract") server.register(await contract(), { sum: ({ a, b }) => ({ sum: a + b }) });
  const sum = sumHandler(load);
  const sums = Array.from({ length: methods }, (_, i) => [sumName(i), sum]);
  let received = 0;
  server.register("Arith", {
    ...Object.fromEntries(sums),
    echo: (bytes: Uint8Array) => bytes,
    text: (text: string) => text,
    records: (count: number) => recordList(count),
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

function interceptors(variant: Variant | undefined): Interceptor[] {
  if (variant === "interceptor") return [passOn];
  return variant === "token" ? [sendToken(() => TOKEN)] : [];
}

async function sumOf(client: Client, { methods, variant }: Load): Promise<PeerClient["sum"]> {
  if (variant === "contract") {
    const service = client.service(await contract());
    return async (a, b) => (await service.sum({ a, b })).sum;
  }
  const names = Array.from({ length: methods }, (_, i) => `Arith.${sumName(i)}`);
  return async (a, b) => (await client.call<{ sum: number }>(names[a % methods]!, { a, b })).sum;
}

/** @param transport How the server is dialed */
export async function connect(
  port: number,
  load: Load,
  transport: "tcp" | "ws" = "tcp",
): Promise<PeerClient> {
  const { host, kind, limits, variant } = load;
  const { maxConnections: _, ...both } = limits; // a server-only limit
  const address = `${transport}@${host}:${port}`;
  // A list of servers is dialed by the first call, which then leaves with the handshake.
  const target = kind === "first" ? new MultiServers([address]) : address;
  const client = await dial(target, { ...both, interceptors: interceptors(variant) });
  return {
    sum: await sumOf(client, load),
    echo: (bytes) => client.call<Uint8Array>("Arith.echo", bytes),
    text: (text) => client.call<string>("Arith.text", text),
    records: (count) => client.call<BenchRecord[]>("Arith.records", count),
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
