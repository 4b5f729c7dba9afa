// Cap'n Web over a WebSocket. It supports bytes and streams; a stream is a ReadableStream. Its client uses
// the WebSocket of `ws`: it sends two messages per call, and Deno's own WebSocket (2.9) delays the second by
// 40 ms, because it does not set TCP_NODELAY.

import { newWebSocketRpcSession, RpcTarget } from "npm:capnweb@0.12.0";
import { WebSocket } from "npm:ws@8.22.1";
import { byteItems, recordList } from "./items.mjs";
import { dialWebSocket, listenWebSocket } from "./ws.mjs";

export const variants = ["async"];

class Api extends RpcTarget {
  sum({ a, b }) {
    return { sum: a + b };
  }

  async sumLater({ a, b }) {
    await null;
    return { sum: a + b };
  }

  echo(bytes) {
    return bytes;
  }

  text(text) {
    return text;
  }

  records(count) {
    return recordList(count);
  }

  stream(count, size) {
    const items = byteItems(size);
    let i = 0;
    return new ReadableStream({
      pull(controller) {
        if (i === count) controller.close();
        else controller.enqueue(items[i++ % items.length]);
      },
    });
  }
}

export function serve() {
  return listenWebSocket((socket) => newWebSocketRpcSession(socket, new Api()));
}

export async function connect(port, { variant }) {
  const api = newWebSocketRpcSession(await dialWebSocket(port, WebSocket));
  return {
    sum: variant === "async"
      ? async (a, b) => (await api.sumLater({ a, b })).sum
      : async (a, b) => (await api.sum({ a, b })).sum,
    text: async (text) => await api.text(text),
    records: async (count) => await api.records(count),
    echo: async (bytes) => await api.echo(bytes),
    async stream(count, size, take) {
      for await (const item of await api.stream(count, size)) take(item[0], item.length);
    },
  };
}
