// `fetch` to `Deno.serve`, with JSON: Deno without any RPC library. It opens a connection for each call in
// flight. A stream is a body with one line of JSON per item.

import { fromBase64, toBase64 } from "./base64.mjs";
import { textItems } from "./items.mjs";

const encoder = new TextEncoder();

export function serve() {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const { pathname } = new URL(request.url);
    const args = await request.json();
    if (pathname === "/sum") return Response.json({ sum: args.a + args.b });
    if (pathname === "/echo") return Response.json({ text: toBase64(fromBase64(args.text)) });
    return new Response(lines(args));
  });
  return server.addr.port;
}

function lines({ count, size }) {
  const items = textItems(size);
  let i = 0;
  return new ReadableStream({
    pull(controller) {
      if (i === count) controller.close();
      else controller.enqueue(encoder.encode(JSON.stringify(items[i++ % items.length]) + "\n"));
    },
  });
}

export function connect(port) {
  // A separate HTTP client, because every other peer has its own connection.
  const client = Deno.createHttpClient({ poolMaxIdlePerHost: 512 });
  const headers = { "content-type": "application/json" };
  const post = async (path, args) => {
    const request = { client, method: "POST", headers, body: JSON.stringify(args) };
    const response = await fetch(`http://127.0.0.1:${port}${path}`, request);
    if (!response.ok) throw new Error(`Status ${response.status}`);
    return response;
  };
  return {
    sum: async (a, b) => (await (await post("/sum", { a, b })).json()).sum,
    echo: async (bytes) => fromBase64((await (await post("/echo", { text: toBase64(bytes) })).json()).text),
    async stream(count, size, take) {
      const { body } = await post("/stream", { count, size });
      let rest = "";
      for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop();
        for (const line of lines) {
          const item = JSON.parse(line);
          take(item.charCodeAt(0), item.length);
        }
      }
    },
  };
}
