// Records correct conversations between a real client and a real server, byte for byte, as the corpus of the
// live targets.

import { type CallContext, type Client, connect, RpcError, Server, type ServerOptions } from "../mod.ts";

/** The bytes sent in each direction of one connection. */
export interface Recording {
  /** Sent by the client, its option first. */
  readonly up: Uint8Array;
  /** Sent by the server, its response first. */
  readonly down: Uint8Array;
}

/** A server with methods of every kind; none takes longer than a few ms. */
export function fuzzServer(options: ServerOptions): Server {
  return new Server(options)
    .register("Echo", {
      echo: (value: unknown) => value,
      fail: () => {
        throw new RpcError("not_found", "Not found", {
          details: { id: 1 },
          metadata: new Map([["a", "b"]]),
        });
      },
      wait: (_: unknown, { signal }: CallContext) =>
        new Promise<string>((resolve) => {
          const timer = setTimeout(() => resolve("waited"), 10);
          signal.addEventListener("abort", () => {
            clearTimeout(timer);
            resolve("left");
          });
        }),
    })
    .register("Count", {
      up: function* (to: number) {
        for (let i = 0; i < Math.min(Number(to), 1_000); i++) yield i;
      },
      sum: async (numbers: AsyncIterable<number>) => {
        let sum = 0;
        for await (const n of numbers) sum += n;
        return sum;
      },
      double: async function* (numbers: AsyncIterable<number>) {
        for await (const n of numbers) yield 2 * n;
      },
    });
}

/** The length of the handshake line including its LF; 0 = there is no complete line. */
export function lineEnd(bytes: Uint8Array): number {
  return bytes.indexOf(10) + 1;
}

async function* upTo(count: number) {
  for (let i = 0; i < count; i++) yield i;
}

const CONVERSATIONS: readonly ((client: Client) => Promise<unknown>)[] = [
  (client) => client.call("Echo.echo", { a: 1, b: ["two", 3.5, null], c: new Uint8Array(5) }),
  (client) =>
    Promise.all([1, 2, 3].map((n) => client.call("Echo.echo", n, { timeout: 500, metadata: { a: "b" } }))),
  (client) => client.call("Echo.fail").catch(() => {}),
  (client) => client.call("No.such").catch(() => {}),
  (client) => client.call("Echo.echo", "x".repeat(700)),
  (client) => Array.fromAsync(client.stream("Count.up", 20)),
  (client) => client.call("Count.sum", upTo(20)),
  (client) => Array.fromAsync(client.stream("Count.double", upTo(5))),
  async (client) => {
    for await (const n of client.stream("Count.up", 900)) if (n === 3) break;
  },
  async (client) => {
    const stop = new AbortController();
    const call = client.call("Echo.wait", null, { signal: stop.signal }).catch(() => {});
    await client.call("Echo.echo", 1);
    stop.abort();
    await call;
    await client.call("Echo.echo", 2);
  },
];

/** Records every conversation in both codecs. */
export async function recordings(): Promise<Recording[]> {
  await using server = fuzzServer({});
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const port = Number(address.slice(address.lastIndexOf(":") + 1));
  const made: Recording[] = [];
  for (const codecType of ["application/cbor", "application/json"]) {
    for (const [i, conversation] of CONVERSATIONS.entries()) {
      if (codecType === "application/json" && i === 0) continue; // JSON has no bytes
      made.push(await record(port, codecType, conversation));
    }
  }
  return made;
}

async function record(
  port: number,
  codecType: string,
  conversation: (client: Client) => Promise<unknown>,
): Promise<Recording> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const recording = (async () => {
    using near = await listener.accept();
    using far = await Deno.connect({ hostname: "127.0.0.1", port });
    const [up, down] = await Promise.all([forward(near, far), forward(far, near)]);
    return { up, down };
  })();
  const client = await connect(`tcp@127.0.0.1:${listener.addr.port}`, { codecType });
  await conversation(client);
  await client.close();
  return await recording;
}

/** Forwards one direction, and returns its bytes. */
async function forward(from: Deno.TcpConn, to: Deno.TcpConn): Promise<Uint8Array> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const chunk = new Uint8Array(65_536);
  for (let count; (count = await from.read(chunk)) !== null;) {
    const part = chunk.slice(0, count);
    parts.push(part);
    for (let sent = 0; sent < count;) sent += await to.write(part.subarray(sent));
  }
  await to.closeWrite().catch(() => {}); // the other side may have closed already
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}
