// How bodies of requests are read: what hostile ones cost, and that other work continues meanwhile.

import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { RecvStream } from "../../session/recv_stream.ts";
import { inflate, readBody } from "../../web/request_body.ts";
import { RequestItems } from "../../web/request_items.ts";

function request(body: ReadableStream<Uint8Array>): Request {
  return new Request("http://localhost/", { method: "POST", body });
}

async function gzip(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const decode = (bytes: Uint8Array) => JSON.parse(new TextDecoder().decode(bytes));

Deno.test("request body: inflating stops soon after the limit", async () => {
  const body = await gzip(new Uint8Array(64 * 1_048_576));
  const Original = DecompressionStream;
  let inflated = 0;
  globalThis.DecompressionStream = class extends Original {
    override get readable() {
      return super.readable.pipeThrough(
        new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
          transform(chunk, controller) {
            inflated += chunk.length;
            controller.enqueue(chunk);
          },
        }),
      );
    }
  };
  try {
    const error = await assertRejects(() => inflate(body, 65_536), RpcError);
    assertEquals(error.code, "resource_exhausted");
  } finally {
    globalThis.DecompressionStream = Original;
  }
  assertLess(inflated, 8 * 1_048_576);
});

Deno.test("request body: what is within the limit is inflated whole", async () => {
  const bytes = crypto.getRandomValues(new Uint8Array(50_000));
  assertEquals(await inflate(await gzip(bytes), 50_000), bytes);
});

Deno.test("request body: parts do not keep the buffers in which they arrived", async () => {
  const shared = new Uint8Array(65_536);
  let sent = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (sent === 1_000) return controller.close();
      shared[0] = sent++ % 251;
      controller.enqueue(sent === 1 ? shared.slice(0, 1) : shared.subarray(0, 1));
    },
  }, { highWaterMark: 0 });
  const bytes = await readBody(request(body), { maxBytes: 1_000, onProgress: () => {}, cancel: undefined });
  assertEquals(Array.from(bytes), Array.from({ length: 1_000 }, (_, i) => i % 251));
  assertLess(bytes.buffer.byteLength, 4_000);
});

Deno.test("request items: other work continues while a long upload is read", async () => {
  const lines = new TextEncoder().encode("1\n".repeat(100_000));
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(lines);
      controller.close();
    },
  });
  const items = new RequestItems(request(body), {
    form: "lines",
    maxBytes: 100,
    itemTimeout: 30_000,
    decode,
  });
  const stream = new RecvStream();
  const reading = items.into(stream);
  let timers = 0;
  const timer = setInterval(() => timers++, 0);
  let count = 0;
  for await (const _ of stream) count++;
  clearInterval(timer);
  await reading;
  assertEquals(count, 100_000);
  assert(timers > 0);
});

Deno.test("request items: an item that arrives byte by byte has one time limit", async () => {
  let timer: ReturnType<typeof setInterval> | undefined;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      timer = setInterval(() => controller.enqueue(new Uint8Array([49])), 5);
    },
    cancel: () => clearInterval(timer),
  });
  const items = new RequestItems(request(body), { form: "lines", maxBytes: 1e6, itemTimeout: 50, decode });
  const error = await assertRejects(() => items.only(), RpcError, "frameTimeout");
  assertEquals(error.code, "deadline_exceeded");
});
