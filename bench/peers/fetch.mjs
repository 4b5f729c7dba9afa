// `fetch` to `Deno.serve`, with JSON: Deno without any RPC library. It opens a connection for each call in
// flight. A stream is a body with one line of JSON per item.

import { fromBase64, toBase64 } from "./base64.mjs";
import { recordList, textItems } from "./items.mjs";

export const variants = ["async", "token", "contract"];

const TOKEN = "0123456789abcdef0123456789abcdef";
const encoder = new TextEncoder();

export async function serve({ variant }) {
  const { z } = variant === "contract" ? await import("npm:zod@4.6.7") : {};
  const schema = z?.object({ a: z.number(), b: z.number() });
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const { pathname } = new URL(request.url);
    if (variant === "token" && request.headers.get("authorization") !== `Bearer ${TOKEN}`) {
      return new Response(null, { status: 401 });
    }
    const args = await request.json();
    schema?.parse(args);
    if (pathname === "/sum") return Response.json({ sum: args.a + args.b });
    if (pathname === "/echo") return Response.json({ text: toBase64(fromBase64(args.text)) });
    if (pathname === "/text") return Response.json(args);
    if (pathname === "/records") return Response.json(recordList(args.count));
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

export function connect(port, { variant }) {
  // A separate HTTP client, because every other peer has its own connection.
  const client = Deno.createHttpClient({ poolMaxIdlePerHost: 512 });
  const headers = { "content-type": "application/json" };
  if (variant === "token") headers.authorization = `Bearer ${TOKEN}`;
  const post = async (path, args) => {
    const request = { client, method: "POST", headers, body: JSON.stringify(args) };
    const response = await fetch(`http://127.0.0.1:${port}${path}`, request);
    if (!response.ok) throw new Error(`Status ${response.status}`);
    return response;
  };
  return {
    sum: async (a, b) => (await (await post("/sum", { a, b })).json()).sum,
    echo: async (bytes) => fromBase64((await (await post("/echo", { text: toBase64(bytes) })).json()).text),
    text: async (text) => (await (await post("/text", { text })).json()).text,
    records: async (count) => await (await post("/records", { count })).json(),
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
