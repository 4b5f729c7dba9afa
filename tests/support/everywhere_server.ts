// What everywhere.ts calls: a server on Deno.serve that can be restarted, and a registry of another origin that allows
// web pages read its list.

import { type CallContext, Registry, RpcError, Server } from "../../mod.ts";
import { Shapes, TOKEN } from "./everywhere.ts";

const LOCAL = { hostname: "127.0.0.1", port: 0, onListen: () => {} } as const;

/** Lets pages of other origins read what a registry lists, as docs/RUNTIMES.md has it. */
export function readableFromAnywhere(registry: Registry): (request: Request) => Promise<Response> {
  return async (request) => {
    const response = request.method === "OPTIONS"
      ? new Response(null, {
        status: 204,
        headers: { "access-control-allow-headers": "authorization, last-event-id" },
      })
      : await registry.fetch(request);
    response.headers.set("access-control-allow-origin", "*");
    return response;
  };
}

/** A server and a registry. */
export class Everywhere implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  #server = this.#create();
  /** How many calls of each connection were given up. */
  readonly #aborted = new Map<string, number>();
  readonly host: string;
  readonly registry: string;

  /** @param pages Answers what is not RPC */
  constructor(pages?: (request: Request) => Promise<Response | undefined>) {
    const rpc = Deno.serve(
      LOCAL,
      async (request, info) => await pages?.(request) ?? await this.#server.fetch(request, info),
    );
    this.#stack.use(rpc);
    this.#stack.defer(() => this.#server.close());
    this.host = `127.0.0.1:${rpc.addr.port}`;
    // The token makes browsers ask before they send it.
    const registry = new Registry({ token: TOKEN, protectReads: true });
    const http = this.#stack.use(Deno.serve(LOCAL, readableFromAnywhere(registry)));
    this.#stack.use(registry);
    this.registry = `http://127.0.0.1:${http.addr.port}`;
  }

  /** Puts the server on the registry's list. */
  async list(): Promise<void> {
    const headers = { "x-rpc-server": `ws@${this.host}`, authorization: `Bearer ${TOKEN}` };
    const response = await fetch(`${this.registry}/_rpc_/registry`, { method: "POST", headers });
    await response.body?.cancel();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  #create(): Server {
    const server = new Server({ authenticate: (token) => token === TOKEN });
    server.register(Shapes, {
      square: (n) => n * n,
      upTo: (to) => Array.from({ length: to }, (_, i) => i + 1),
      sum: async (items) => {
        let sum = 0;
        for await (const item of items) sum += item;
        return sum;
      },
      doubled: async function* (items) {
        for await (const item of items) yield item * 2;
      },
    });
    return server.register("Echo", {
      echo: (value: unknown) => value,
      fail: () => {
        throw new RpcError("not_found", "Nothing here", { details: { id: 3 } });
      },
      never: (_: unknown, context: CallContext) => this.#untilAborted(context),
      endless: (_: unknown, context: CallContext) => {
        void this.#untilAborted(context);
        return endless();
      },
      aborted: (_: unknown, { peer }: CallContext) => this.#aborted.get(peer.address) ?? 0,
      headers: (_: unknown, { metadata }: CallContext) => {
        return [metadata.get("trace"), [...metadata.get("raw") as Uint8Array]];
      },
      callBack: async (_: unknown, { peer }: CallContext) => {
        const lines: unknown[] = [await peer.call("Screen.show", "from the server")];
        for await (const line of peer.stream("Screen.lines", 2)) lines.push(line);
        await peer.call("Screen.fail").catch((error: RpcError) => lines.push(error.code));
        return lines;
      },
      restart: async () => {
        const old = this.#server;
        this.#server = this.#create();
        await old.close();
      },
    });
  }

  /** Counts a call that is given up. */
  #untilAborted({ signal, peer }: CallContext): Promise<void> {
    return new Promise((resolve) =>
      signal.addEventListener("abort", () => {
        this.#aborted.set(peer.address, (this.#aborted.get(peer.address) ?? 0) + 1);
        resolve();
      })
    );
  }
}

async function* endless(): AsyncGenerator<number> {
  for (let i = 1;; i++) yield await Promise.resolve(i);
}

/** What `everywhere()` returns. */
export const SEEN = {
  values: Array(10).fill("same"),
  many: true,
  large: true,
  square: 49,
  down: 5_050,
  up: 5_050,
  both: 10_100,
  left: [[1, 2, 3], 1],
  failed: ["not_found", "Nothing here", { id: 3 }],
  unknown: "unimplemented",
  late: "deadline_exceeded",
  canceled: "canceled",
  aborted: 2,
  headers: ["über", [0, 255]],
  back: [[1, "line 1", "line 2", "internal"], ["from the server"]],
  restarted: ["unavailable", "again"],
  list: [0, 1, 2, 3],
  json: [1, "x", { a: null }],
  refused: "unauthenticated",
  found: "found",
  closed: ["unavailable", "unavailable"],
};
