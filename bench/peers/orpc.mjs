// oRPC over a WebSocket. A stream is its event iterator.

import { createORPCClient } from "npm:@orpc/client@1.16.1";
import { RPCLink } from "npm:@orpc/client@1.16.1/websocket";
import { os } from "npm:@orpc/server@1.16.1";
import { RPCHandler } from "npm:@orpc/server@1.16.1/websocket";
import { fromBase64, toBase64 } from "./base64.mjs";
import { textItems } from "./items.mjs";
import { dialWebSocket, listenWebSocket } from "./ws.mjs";

const router = {
  sum: os.handler(({ input: { a, b } }) => ({ sum: a + b })),
  echo: os.handler(({ input }) => ({ text: toBase64(fromBase64(input.text)) })),
  stream: os.handler(async function* ({ input: { count, size } }) {
    const items = textItems(size);
    for (let i = 0; i < count; i++) yield items[i % items.length];
  }),
};

export function serve() {
  const handler = new RPCHandler(router);
  return listenWebSocket((socket) => handler.upgrade(socket, { context: {} }));
}

export async function connect(port) {
  const client = createORPCClient(new RPCLink({ websocket: await dialWebSocket(port) }));
  return {
    sum: async (a, b) => (await client.sum({ a, b })).sum,
    echo: async (bytes) => fromBase64((await client.echo({ text: toBase64(bytes) })).text),
    async stream(count, size, take) {
      for await (const item of await client.stream({ count, size })) take(item.charCodeAt(0), item.length);
    },
  };
}
