// Fuzzes a real client with a server that sends mutated recordings of a correct server. Each call must settle
// in time, with a value or an RpcError, and nothing may be left when the client is closed.

import { type Client, connect, MultiServers, RpcError } from "../mod.ts";
import { Random } from "../tests/support/cbor_random.ts";
import { Mutator } from "./mutate.ts";
import { lineEnd, recordings } from "./recording.ts";
import { described, Finding, hashOf, type Target } from "./target.ts";

/** Timeout of a call, in ms. */
const TIMEOUT = 60;
/** Additional time until the caller is notified, in ms: 96 cases share the event loop. */
const SLACK = 1_500;

const decoder = new TextDecoder();

/** Creates the target. */
export async function clientTarget(): Promise<Target> {
  const mutator = new Mutator((await recordings()).map(({ down }) => down), lineEnd);
  const server = new BadServer();
  return {
    name: "client",
    concurrency: 96,
    next: (random) => mutator.next(random),
    check: (bytes) => server.serveBytes(bytes, (token) => callAll(server.address, token)),
    finish: () => server.idle(),
    [Symbol.asyncDispose]: () => server.close(),
  };
}

/** Makes calls of all kinds and returns their outcomes. */
async function callAll(address: string, token: string): Promise<string> {
  const startedAt = performance.now();
  let client: Client;
  try {
    // Every other client connects with its first call, so that calls leave with the handshake.
    const target = Number.parseInt(token) % 2 === 0 ? address : new MultiServers([address]);
    client = await connect(target, {
      token,
      connectTimeout: TIMEOUT,
      timeout: TIMEOUT,
      codecType: codecOf(token),
    });
  } catch (error) {
    return `not connected: ${codeOf(error, startedAt)}`;
  }
  try {
    const outcomes = await Promise.all([
      outcome(client.call("Echo.echo", 1)),
      outcome(Array.fromAsync(client.stream("Count.up", 20))),
      outcome(client.call("Count.sum", numbers())),
      outcome(client.call("Echo.fail", null, { idempotent: true })),
    ]);
    const { pending } = client.stats();
    if (pending > 0) throw new Finding(`${pending} calls are pending although all have settled`);
    return [...new Set(outcomes)].sort().join(", ");
  } finally {
    await client.close();
  }
}

async function* numbers() {
  for (let i = 0; i < 10; i++) yield i;
}

async function outcome(call: Promise<unknown>): Promise<string> {
  const startedAt = performance.now();
  try {
    await call;
    checkTime(startedAt);
    return "value";
  } catch (error) {
    return codeOf(error, startedAt);
  }
}

function codeOf(error: unknown, startedAt: number): string {
  if (error instanceof Finding) throw error;
  if (!(error instanceof RpcError)) throw new Finding(`A call failed with ${described(error)}`);
  checkTime(startedAt);
  return error.code;
}

function checkTime(startedAt: number): void {
  const late = performance.now() - startedAt - TIMEOUT;
  if (late > SLACK) throw new Finding(`A call settled ${Math.round(late)} ms after its deadline`);
}

/** The codec that the client of a case requests. */
function codecOf(token: string): string {
  return `application/${token.split(" ")[1]}`;
}

/** A server that sends each client the bytes selected by its token. */
class BadServer {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #cases = new Map<string, Uint8Array>();
  readonly #conversations = new Map<Deno.TcpConn, Promise<void>>();
  readonly #accepting: Promise<void>;
  #count = 0;

  constructor() {
    this.#accepting = this.#accept();
  }

  get address(): string {
    return `tcp@127.0.0.1:${this.#listener.addr.port}`;
  }

  /** Waits until every client has closed its connection. */
  async idle(): Promise<void> {
    const timedOut = Promise.withResolvers<never>();
    const onTimeout = () =>
      timedOut.reject(new Finding(`${this.#conversations.size} connections are still open`));
    const timer = setTimeout(onTimeout, 5_000);
    await Promise.race([Promise.all(this.#conversations.values()), timedOut.promise]).finally(() =>
      clearTimeout(timer)
    );
  }

  /** Runs a client against a server that sends `bytes`. */
  async serveBytes(bytes: Uint8Array, client: (token: string) => Promise<string>): Promise<string> {
    const json = decoder.decode(bytes.subarray(0, 100)).includes("json");
    const token = `${this.#count++} ${json ? "json" : "cbor"}`;
    this.#cases.set(token, bytes);
    try {
      return await client(token);
    } finally {
      this.#cases.delete(token);
    }
  }

  async close(): Promise<void> {
    this.#listener.close();
    await this.#accepting;
    for (const socket of this.#conversations.keys()) socket.close();
    const conversations = [...this.#conversations.values()];
    this.#conversations.clear();
    await Promise.all(conversations);
  }

  async #accept(): Promise<void> {
    for await (const socket of this.#listener) {
      const conversation = this.#converse(socket).catch(() => {}).finally(() => {
        if (this.#conversations.delete(socket)) socket.close();
      });
      this.#conversations.set(socket, conversation);
    }
  }

  /** Sends the first line of the case, waits for the first call after it, then sends the rest. */
  async #converse(socket: Deno.TcpConn): Promise<void> {
    const chunk = new Uint8Array(65_536);
    const count = await socket.read(chunk);
    if (count === null) return;
    const { token } = JSON.parse(decoder.decode(chunk.subarray(0, chunk.indexOf(10))));
    const bytes = this.#cases.get(token);
    if (bytes === undefined) return;
    const random = new Random(hashOf(bytes));
    const first = lineEnd(bytes) || bytes.length;
    await writeAll(socket, bytes.subarray(0, first));
    if (await socket.read(chunk) === null) return;
    await writeAll(socket, bytes.subarray(first));
    // Then stay silent, close the connection, or end this side of it.
    const end = random.below(16);
    if (end === 1) return;
    if (end > 1) await socket.closeWrite();
    while (await socket.read(chunk) !== null);
  }
}

async function writeAll(socket: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await socket.write(bytes.subarray(at));
}
