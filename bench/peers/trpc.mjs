// tRPC over a WebSocket, without input validation. A stream is a subscription to an async generator. Both
// sides use the WebSocket of `ws`: the server requires it, and with Deno's own the client is a third as fast
// under load.

import { createTRPCClient, createWSClient, wsLink } from "npm:@trpc/client@11.22.1";
import { initTRPC } from "npm:@trpc/server@11.22.1";
import { applyWSSHandler } from "npm:@trpc/server@11.22.1/adapters/ws";
import { WebSocket, WebSocketServer } from "npm:ws@8.22.1";
import { z } from "npm:zod@4.6.7";
import { fromBase64, toBase64 } from "./base64.mjs";
import { recordList, textItems } from "./items.mjs";

const t = initTRPC.create({ isServer: true });
const unchecked = (input) => input;
export const variants = ["async", "interceptor", "contract"];

const sum = ({ input: { a, b } }) => ({ sum: a + b });
const sums = {
  async: t.procedure.input(unchecked).query(async ({ input: { a, b } }) => {
    await null;
    return { sum: a + b };
  }),
  interceptor: t.procedure.use(async ({ next }) => await next()).input(unchecked).query(sum),
  contract: t.procedure.input(z.object({ a: z.number(), b: z.number() })).query(sum),
};
const routerOf = (variant) =>
  t.router({
    sum: sums[variant] ?? t.procedure.input(unchecked).query(sum),
    text: t.procedure.input(unchecked).mutation(({ input }) => input),
    records: t.procedure.input(unchecked).query(({ input }) => recordList(input)),
    echo: t.procedure.input(unchecked).mutation(({ input }) => ({ text: toBase64(fromBase64(input.text)) })),
    stream: t.procedure.input(unchecked).subscription(async function* ({ input: { count, size } }) {
      const items = textItems(size);
      for (let i = 0; i < count; i++) yield items[i % items.length];
    }),
  });

export async function serve({ variant }) {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, backlog: 1_024 });
  applyWSSHandler({ wss: server, router: routerOf(variant), createContext: () => ({}) });
  await new Promise((resolve) => server.on("listening", resolve));
  return server.address().port;
}

export async function connect(port) {
  const opened = Promise.withResolvers();
  const socket = createWSClient({ url: `ws://127.0.0.1:${port}`, WebSocket, onOpen: opened.resolve });
  const client = createTRPCClient({ links: [wsLink({ client: socket })] });
  await opened.promise;
  return {
    sum: async (a, b) => (await client.sum.query({ a, b })).sum,
    echo: async (bytes) => fromBase64((await client.echo.mutate({ text: toBase64(bytes) })).text),
    text: (text) => client.text.mutate(text),
    records: (count) => client.records.query(count),
    stream: (count, size, take) =>
      new Promise((resolve, reject) => {
        client.stream.subscribe({ count, size }, {
          onData: (item) => take(item.charCodeAt(0), item.length),
          onError: reject,
          onComplete: resolve,
        });
      }),
  };
}
