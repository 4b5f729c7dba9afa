// oRPC over a WebSocket. A stream is its event iterator.

import { createORPCClient } from "npm:@orpc/client@1.16.1";
import { RPCLink } from "npm:@orpc/client@1.16.1/websocket";
import { os } from "npm:@orpc/server@1.16.1";
import { RPCHandler } from "npm:@orpc/server@1.16.1/websocket";
import { z } from "npm:zod@4.6.7";
import { fromBase64, toBase64 } from "./base64.mjs";
import { recordList, textItems } from "./items.mjs";
import { dialWebSocket, listenWebSocket } from "./ws.mjs";

export const variants = ["async", "interceptor", "contract"];

const sum = ({ input: { a, b } }) => ({ sum: a + b });
const sums = {
  async: os.handler(async ({ input: { a, b } }) => {
    await null;
    return { sum: a + b };
  }),
  interceptor: os.use(async ({ next }) => await next()).handler(sum),
  contract: os.input(z.object({ a: z.number(), b: z.number() })).handler(sum),
};
const routerOf = (variant) => ({
  sum: sums[variant] ?? os.handler(sum),
  text: os.handler(({ input }) => input),
  records: os.handler(({ input }) => recordList(input)),
  echo: os.handler(({ input }) => ({ text: toBase64(fromBase64(input.text)) })),
  stream: os.handler(async function* ({ input: { count, size } }) {
    const items = textItems(size);
    for (let i = 0; i < count; i++) yield items[i % items.length];
  }),
});

export function serve({ variant }) {
  const handler = new RPCHandler(routerOf(variant));
  return listenWebSocket((socket) => handler.upgrade(socket, { context: {} }));
}

export async function connect(port) {
  const client = createORPCClient(new RPCLink({ websocket: await dialWebSocket(port) }));
  return {
    sum: async (a, b) => (await client.sum({ a, b })).sum,
    echo: async (bytes) => fromBase64((await client.echo({ text: toBase64(bytes) })).text),
    text: (text) => client.text(text),
    records: (count) => client.records(count),
    async stream(count, size, take) {
      for await (const item of await client.stream({ count, size })) take(item.charCodeAt(0), item.length);
    },
  };
}
