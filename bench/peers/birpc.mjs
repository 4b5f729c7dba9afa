// birpc over a WebSocket, with JSON: its documented setup. It has no streams.

import { createBirpc } from "npm:birpc@4.2.0";
import { recordList } from "./items.mjs";
import { fromBase64, toBase64 } from "./base64.mjs";
import { dialWebSocket, listenWebSocket } from "./ws.mjs";

export const variants = ["async"];

const functions = {
  sum: ({ a, b }) => ({ sum: a + b }),
  sumLater: async ({ a, b }) => {
    await null;
    return { sum: a + b };
  },
  echo: (text) => toBase64(fromBase64(text)),
  text: (text) => text,
  records: (count) => recordList(count),
};

function channel(socket) {
  return {
    post: (message) => socket.send(message),
    on: (take) => socket.addEventListener("message", ({ data }) => take(data)),
    serialize: JSON.stringify,
    deserialize: JSON.parse,
  };
}

export function serve() {
  return listenWebSocket((socket) => createBirpc(functions, channel(socket)));
}

export async function connect(port, { variant }) {
  const remote = createBirpc({}, channel(await dialWebSocket(port)));
  return {
    sum: variant === "async"
      ? async (a, b) => (await remote.sumLater({ a, b })).sum
      : async (a, b) => (await remote.sum({ a, b })).sum,
    text: (text) => remote.text(text),
    records: (count) => remote.records(count),
    echo: async (bytes) => fromBase64(await remote.echo(toBase64(bytes))),
  };
}
