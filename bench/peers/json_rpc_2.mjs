// json-rpc-2.0 over a WebSocket. It has no streams.

import { JSONRPCClient, JSONRPCServer } from "npm:json-rpc-2.0@1.8.1";
import { recordList } from "./items.mjs";
import { fromBase64, toBase64 } from "./base64.mjs";
import { dialWebSocket, listenWebSocket } from "./ws.mjs";

export const variants = ["async"];

export function serve({ variant }) {
  const server = new JSONRPCServer();
  if (variant === "async") {
    server.addMethod("sum", async ({ a, b }) => {
      await null;
      return { sum: a + b };
    });
  } else {
    server.addMethod("sum", ({ a, b }) => ({ sum: a + b }));
  }
  server.addMethod("echo", ({ text }) => ({ text: toBase64(fromBase64(text)) }));
  server.addMethod("text", ({ text }) => text);
  server.addMethod("records", ({ count }) => recordList(count));
  return listenWebSocket((socket) => {
    socket.addEventListener("message", async ({ data }) => {
      const reply = await server.receive(JSON.parse(data));
      if (reply !== null) socket.send(JSON.stringify(reply));
    });
  });
}

export async function connect(port) {
  const socket = await dialWebSocket(port);
  const client = new JSONRPCClient((request) => socket.send(JSON.stringify(request)));
  socket.addEventListener("message", ({ data }) => client.receive(JSON.parse(data)));
  return {
    sum: async (a, b) => (await client.request("sum", { a, b })).sum,
    text: (text) => client.request("text", { text }),
    records: (count) => client.request("records", { count }),
    echo: async (bytes) => fromBase64((await client.request("echo", { text: toBase64(bytes) })).text),
  };
}
