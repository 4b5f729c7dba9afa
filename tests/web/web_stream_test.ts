// Streams over HTTP: Connect's envelopes, server-sent events and lines of JSON, in both directions.

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import http2 from "node:http2";
import { type CallContext, defineService, method, RpcError, Server } from "../../server/mod.ts";
import { web } from "../../web/mod.ts";
import { until } from "../support/waiting.ts";

const S = defineService("S", {
  count: method.serverStream<{ n?: number; fail?: boolean }, number>({ readOnly: true }),
  endless: method.serverStream<void, string>(),
  wait: method.serverStream<void, number>(),
  refuse: method.serverStream<{ code: string }, number>({ readOnly: true }),
  sum: method.clientStream<number, number>(),
  chat: method.conversation<number, number>(),
  some: method.conversation<number, number>(),
});

class Served implements AsyncDisposable {
  readonly server = new Server();
  readonly #http: Deno.HttpServer<Deno.NetAddr>;
  sent = 0;
  readonly ended: string[] = [];

  constructor() {
    // deno-lint-ignore no-this-alias -- handlers below have a `this` of their own
    const served = this;
    this.server.register(S, {
      async *count({ n = 0, fail = false }, { replyMetadata }) {
        for (let i = 1; i <= n; i++) yield i;
        replyMetadata.set("x-last", String(n));
        if (fail) throw new RpcError("aborted", "failed on purpose", { details: { n } });
      },
      async *endless() {
        try {
          for (;;) {
            served.sent++;
            yield "x".repeat(10_000);
          }
        } finally {
          served.ended.push("endless");
        }
      },
      async *wait(_, { signal }: CallContext) {
        yield 1;
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        served.ended.push(signal.reason.code);
      },
      refuse({ code }) {
        throw new RpcError(code as "not_found", "refused");
      },
      async sum(numbers) {
        try {
          let sum = 0;
          for await (const n of numbers) sum += n;
          served.ended.push(`sum ${sum}`);
          return sum;
        } catch (error) {
          served.ended.push((error as RpcError).code);
          throw error;
        }
      },
      async *chat(numbers) {
        for await (const n of numbers) yield n * 2;
      },
      async *some(numbers) {
        for await (const n of numbers) {
          yield n;
          return;
        }
      },
    });
    this.server.register("Plain", {
      *count(n: number) {
        for (let i = 1; i <= n; i++) yield i;
      },
      async list(items: AsyncIterable<unknown>) {
        return await Array.fromAsync(items);
      },
    });
    this.#http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, web(this.server));
  }

  get port(): number {
    return this.#http.addr.port;
  }

  fetch(path: string, init: RequestInit & { client?: Deno.HttpClient } = {}): Promise<Response> {
    return fetch(`http://127.0.0.1:${this.port}${path}`, init);
  }

  post(
    path: string,
    body: BodyInit,
    headers: Record<string, string>,
    signal?: AbortSignal,
  ): Promise<Response> {
    const type = { "content-type": "application/json" };
    return this.fetch(path, { method: "POST", headers: { ...type, ...headers }, body, signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close();
    await this.#http.shutdown();
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

const AS_EVENTS = { accept: "text/event-stream" };
const AS_LINES = { accept: "application/x-ndjson" };
const ENVELOPES = { "content-type": "application/connect+json" };

function envelope(value: unknown): Uint8Array<ArrayBuffer> {
  const json = new TextEncoder().encode(JSON.stringify(value));
  const bytes = new Uint8Array(5 + json.length);
  new DataView(bytes.buffer).setUint32(1, json.length);
  bytes.set(json, 5);
  return bytes;
}

Deno.test("web streams: a POST that accepts events gets items, and an end with an id", async () => {
  await using served = new Served();
  const response = await served.post("/S/count", '{"n":2}', AS_EVENTS);
  assertEquals(response.headers.get("content-type"), "text/event-stream");
  assertEquals(await response.text(), "data: 1\n\ndata: 2\n\nid: end\nevent: end\ndata: {}\n\n");
});

Deno.test("web streams: a failure is an event, and tells EventSource whether to try again", async () => {
  await using served = new Served();
  const failed = await (await served.post("/S/count", '{"n":1,"fail":true}', AS_EVENTS)).text();
  assertStringIncludes(failed, 'data: 1\n\nretry: 1000\nevent: error\ndata: {"code":"aborted"');
  // Before the first item a lasting failure has its status: EventSource does not try again.
  const refused = await served.post("/S/refuse", '{"code":"not_found"}', AS_EVENTS);
  assertEquals([refused.status, (await refused.json()).code], [404, "not_found"]);
  const passing = await served.post("/S/refuse", '{"code":"unavailable"}', AS_EVENTS);
  assertEquals(passing.status, 200);
  assertStringIncludes(await passing.text(), "retry: 1000\nevent: error\n");
});

Deno.test("web streams: EventSource asks by GET, and gets 204 after the end", async () => {
  await using served = new Served();
  const query = `?message=${encodeURIComponent('{"n":1}')}`;
  const response = await served.fetch(`/S/count${query}`, { headers: AS_EVENTS });
  assertStringIncludes(await response.text(), "data: 1\n\nid: end\n");
  const again = await served.fetch(`/S/count${query}`, { headers: { ...AS_EVENTS, "last-event-id": "end" } });
  assertEquals([again.status, await again.text()], [204, ""]);
  // A method that may change something is not called by GET.
  const endless = await served.fetch("/S/endless", { headers: AS_EVENTS });
  assertEquals([endless.status, endless.headers.get("allow")], [405, "POST"]);
  await endless.body?.cancel();
});

Deno.test("web streams: a server that shuts down tells EventSource to come back", async () => {
  await using served = new Served();
  await served.server.shutdown();
  const response = await served.post("/S/count", '{"n":1}', AS_EVENTS);
  assertEquals(response.status, 200);
  assertStringIncludes(await response.text(), 'retry: 1000\nevent: error\ndata: {"code":"unavailable"');
});

Deno.test("web streams: a feed that watches context.draining ends when the server shuts down", async () => {
  await using served = new Served();
  served.server.register("Feed", {
    async *news(_: unknown, { draining }: CallContext) {
      yield "first";
      await new Promise((resolve) => draining.addEventListener("abort", resolve));
      yield "last";
    },
  });
  const response = await served.post("/Feed/news", "{}", AS_LINES);
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  assertEquals((await reader.read()).value, '"first"\n');
  const end = served.server.shutdown();
  assertEquals((await reader.read()).value, '"last"\n');
  assertEquals((await reader.read()).done, true);
  await end;
});

Deno.test("web streams: lines of JSON are the items, and a failure is the last line", async () => {
  await using served = new Served();
  assertEquals(await (await served.post("/S/count", '{"n":3}', AS_LINES)).text(), "1\n2\n3\n");
  const failed = await (await served.post("/S/count", '{"n":1,"fail":true}', AS_LINES)).text();
  const [first, last] = failed.trim().split("\n").map((line) => JSON.parse(line));
  assertEquals([first, last.error.code, last.error.details[0].debug], [1, "aborted", { n: 1 }]);
});

Deno.test("web streams: a method without a contract answers with a stream if the request accepts it", async () => {
  await using served = new Served();
  assertEquals(await (await served.post("/Plain/count", "2", AS_LINES)).text(), "1\n2\n");
  const response = await served.post("/Plain/count", "2", {});
  assertEquals([response.status, response.headers.get("accept-post")], [
    415,
    "application/connect+json, application/json",
  ]);
  assertStringIncludes((await response.json()).message, "accept text/event-stream");
});

Deno.test("web streams: lines of JSON are arguments", async () => {
  await using served = new Served();
  const lines = { "content-type": "application/x-ndjson" };
  assertEquals(await (await served.post("/S/sum", "1\n2\n\n 3", lines)).json(), 6);
  assertEquals(await (await served.post("/Plain/list", '{"a":1}\r\n"b"\n', lines)).json(), [{ a: 1 }, "b"]);
  assertEquals(await (await served.post("/S/chat", "1\n2\n", lines)).text(), "2\n4\n");
  const wrong = await served.post("/S/sum", "1\n{\n", lines);
  assertEquals([wrong.status, (await wrong.json()).code], [400, "invalid_argument"]);
});

for (const version of ["HTTP/1.1", "HTTP/2"]) {
  Deno.test(`web streams: both directions at once over ${version}`, async () => {
    await using served = new Served();
    using client = Deno.createHttpClient({ http2: version === "HTTP/2", http1: version === "HTTP/1.1" });
    const up = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>();
    const writer = up.writable.getWriter();
    void writer.write(envelope(1));
    const response = await served.fetch("/S/chat", {
      method: "POST",
      headers: ENVELOPES,
      body: up.readable,
      client,
    });
    const reader = response.body!.getReader();
    for (let n = 1; n <= 3; n++) {
      const { value } = await reader.read();
      assertEquals(value, envelope(n * 2), "the answer to an item arrives before the next one is sent");
      if (n < 3) await writer.write(envelope(n + 1));
    }
    await writer.close();
    const { value } = await reader.read();
    assertEquals(new TextDecoder().decode(value!.subarray(5)), "{}");
    assertEquals((await reader.read()).done, true);
  });
}

Deno.test("web streams: a handler that does not want all arguments ends the call", async () => {
  await using served = new Served();
  const body = new Uint8Array([...envelope(7), ...envelope(8)]);
  const response = await served.post("/S/some", body, ENVELOPES);
  const bytes = new Uint8Array(await response.arrayBuffer());
  assertEquals(bytes.subarray(0, 6), envelope(7));
  assertEquals(bytes[6], 2);
});

Deno.test("web streams: a client that does not read stops the handler, and one that leaves ends it", async () => {
  await using served = new Served();
  const response = await served.post("/S/endless", "{}", AS_LINES);
  const reader = response.body!.getReader();
  await reader.read();
  let before = -1;
  await until(() => {
    const still = served.sent === before;
    before = served.sent;
    return still;
  }, "the handler to stop");
  assert(served.sent < 5_000, `${served.sent} items of 10 kB were made`);
  await reader.cancel();
  await until(() => served.ended.length === 1, "the handler's end");
  await until(() => served.server.stats().inFlight === 0, "the call's end");
});

Deno.test("web streams: a client that leaves a silent stream ends it at once", async () => {
  await using served = new Served();
  const leaving = new AbortController();
  const response = await served.post("/S/wait", "{}", AS_EVENTS, leaving.signal);
  const reader = response.body!.getReader();
  await reader.read();
  leaving.abort();
  await assertRejects(() => reader.read());
  await until(() => served.ended.length === 1, "the handler's end");
  assertEquals(served.ended, ["canceled"]);
});

Deno.test("web streams: an upload that breaks off over HTTP/1.1 is an error for its handler", async () => {
  await using served = new Served();
  const leaving = new AbortController();
  const up = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>();
  const writer = up.writable.getWriter();
  void writer.write(envelope(1)).catch(() => {});
  const init = { method: "POST", headers: ENVELOPES, body: up.readable, signal: leaving.signal };
  const call = served.fetch("/S/sum", init).then((response) => response.text());
  await until(() => served.server.snapshot().streams.list[0]?.receiving?.items === 1, "the first item");
  leaving.abort();
  await assertRejects(() => call);
  await until(() => served.ended.length === 1, "the handler's end");
  assertEquals(served.ended, ["canceled"]);
  await writer.abort().catch(() => {});
});

Deno.test("web streams: an upload that Node's client cancels over HTTP/2 is an error for its handler", async () => {
  await using served = new Served();
  const client = http2.connect(`http://127.0.0.1:${served.port}`);
  const stream = client.request({ ":method": "POST", ":path": "/S/sum", ...ENVELOPES });
  stream.on("error", () => {});
  stream.write(envelope(1));
  await until(() => served.server.snapshot().streams.list[0]?.receiving?.items === 1, "the first item");
  // Ends the stream first, and resets it then: the upload looks complete for a moment.
  stream.close(http2.constants.NGHTTP2_CANCEL);
  await until(() => served.ended.length === 1, "the handler's end");
  assertEquals(served.ended, ["canceled"]);
  await new Promise<void>((resolve) => client.close(resolve));
});

Deno.test("web streams: a stream of arguments is read no faster than its handler takes them", async () => {
  const gate = Promise.withResolvers<void>();
  await using server = new Server({ maxFrameBytes: 65_536 }).register("Slow", {
    async take(items: AsyncIterable<string>) {
      await gate.promise;
      let bytes = 0;
      for await (const item of items) bytes += item.length;
      return bytes;
    },
  });
  const handler = web(server);
  let pulled = 0;
  const line = new TextEncoder().encode(`"${"x".repeat(9_998)}"\n`);
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      if (pulled++ < 500) controller.enqueue(line);
      else controller.close();
    },
  }, { highWaterMark: 0 });
  const request = new Request("http://localhost/Slow/take", {
    method: "POST",
    headers: { "content-type": "application/x-ndjson", host: "localhost", accept: AS_LINES.accept },
    body,
  });
  const answer = handler(request);
  let before = -1;
  await until(() => {
    const still = pulled > 0 && pulled === before;
    before = pulled;
    return still;
  }, "reading to stop");
  assert(pulled < 50, `${pulled} items of 10 kB were read`);
  gate.resolve();
  assertEquals(await (await answer).text(), "4999000");
});
