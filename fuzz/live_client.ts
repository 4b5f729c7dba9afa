// A real client against a server that says mutated recordings of what good servers say. Whatever comes, each call
// settles within its time, with a value or an RpcError, and nothing is left when the client is closed.

import { type Client, connect, RpcError } from "../mod.ts";
import { Random } from "../tests/support/cbor_random.ts";
import { Mutator } from "./mutate.ts";
import { lineEnd, recordings } from "./recording.ts";
import { described, Finding, hashOf, type Target } from "./target.ts";

/** How long a call may take, in ms. */
const TIMEOUT = 60;
/** How much longer it may take until its caller is told, in ms: 96 cases share the event loop. */
const SLACK = 1_500;

const decoder = new TextDecoder();

/** Makes the target. */
export async function clientTarget(): Promise<Target> {
  const mutator = new Mutator((await recordings()).map(({ down }) => down), lineEnd);
  const server = new BadServer();
  return {
    name: "client",
    atOnce: 96,
    next: (random) => mutator.next(random),
    check: (bytes) => server.against(bytes, (token) => callAll(server.address, token)),
    finish: () => server.idle(),
    [Symbol.asyncDispose]: () => server.close(),
  };
}

/** Makes calls of all kinds and returns what came of each. */
async function callAll(address: string, token: string): Promise<string> {
  const began = performance.now();
  let client: Client;
  try {
    client = await connect(address, {
      token,
      connectTimeout: TIMEOUT,
      timeout: TIMEOUT,
      codecType: codecOf(token),
    });
  } catch (error) {
    return `not connected: ${codeOf(error, began)}`;
  }
  try {
    const outcomes = await Promise.all([
      outcome(client.call("Echo.echo", 1)),
      outcome(Array.fromAsync(client.stream("Count.up", 20))),
      outcome(client.call("Count.sum", numbers())),
      outcome(client.call("Echo.fail", null, { idempotent: true })),
    ]);
    const { pending } = client.stats();
    if (pending > 0) throw new Finding(`${pending} calls are pending though all have settled`);
    return [...new Set(outcomes)].sort().join(", ");
  } finally {
    await client.close();
  }
}

async function* numbers() {
  for (let i = 0; i < 10; i++) yield i;
}

async function outcome(call: Promise<unknown>): Promise<string> {
  const began = performance.now();
  try {
    await call;
    checkTime(began);
    return "value";
  } catch (error) {
    return codeOf(error, began);
  }
}

function codeOf(error: unknown, began: number): string {
  if (error instanceof Finding) throw error;
  if (!(error instanceof RpcError)) throw new Finding(`A call was told ${described(error)}`);
  checkTime(began);
  return error.code;
}

function checkTime(began: number): void {
  const late = performance.now() - began - TIMEOUT;
  if (late > SLACK) throw new Finding(`A call settled ${Math.round(late)} ms after its deadline`);
}

/** The codec that a case's client asks for. */
function codecOf(token: string): string {
  return `application/${token.split(" ")[1]}`;
}

/** Says to each client what its token asks for. */
class BadServer {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #cases = new Map<string, Uint8Array>();
  readonly #talks = new Map<Deno.TcpConn, Promise<void>>();
  readonly #accepting: Promise<void>;
  #count = 0;

  constructor() {
    this.#accepting = this.#accept();
  }

  get address(): string {
    return `tcp@127.0.0.1:${this.#listener.addr.port}`;
  }

  /** Waits for the end of all conversations: every client has closed. */
  async idle(): Promise<void> {
    const late = Promise.withResolvers<never>();
    const left = () => late.reject(new Finding(`${this.#talks.size} connections are left`));
    const timer = setTimeout(left, 5_000);
    await Promise.race([Promise.all(this.#talks.values()), late.promise]).finally(() => clearTimeout(timer));
  }

  /** Runs a client against a server that says `bytes`. */
  async against(bytes: Uint8Array, client: (token: string) => Promise<string>): Promise<string> {
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
    for (const socket of this.#talks.keys()) socket.close();
    const talks = [...this.#talks.values()];
    this.#talks.clear();
    await Promise.all(talks);
  }

  async #accept(): Promise<void> {
    for await (const socket of this.#listener) {
      const talk = this.#talk(socket).catch(() => {}).finally(() => {
        if (this.#talks.delete(socket)) socket.close();
      });
      this.#talks.set(socket, talk);
    }
  }

  /** Answers with the case's first line, waits for the first call, says the rest. */
  async #talk(socket: Deno.TcpConn): Promise<void> {
    const chunk = new Uint8Array(65_536);
    const count = await socket.read(chunk);
    if (count === null) return;
    const { token } = JSON.parse(decoder.decode(chunk.subarray(0, chunk.indexOf(10))));
    const bytes = this.#cases.get(token);
    if (bytes === undefined) return;
    const how = new Random(hashOf(bytes));
    const first = lineEnd(bytes) || bytes.length;
    await say(socket, bytes.subarray(0, first));
    if (await socket.read(chunk) === null) return;
    await say(socket, bytes.subarray(first));
    // Some servers stay silent then, some go away, the others end their side.
    const end = how.below(16);
    if (end === 1) return;
    if (end > 1) await socket.closeWrite();
    while (await socket.read(chunk) !== null);
  }
}

async function say(socket: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await socket.write(bytes.subarray(at));
}
