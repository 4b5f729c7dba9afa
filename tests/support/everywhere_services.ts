// The services that everywhere.ts calls, on a server that can be restarted at the same addresses. Runs in Deno, Node and Bun.

import { type CallContext, RpcError, Server, type ServerTlsOptions } from "../../server/mod.ts";
import { Shapes, TOKEN } from "./everywhere.ts";

/** A server that a client can restart. */
export class EverywhereServices {
  readonly #tls: ServerTlsOptions;
  /** The current server. */
  server: Server;
  readonly addresses: string[] = [];
  /** How many calls were given up. */
  #aborted = 0;

  constructor(tls: ServerTlsOptions) {
    this.#tls = tls;
    this.server = this.#create();
  }

  /** Listens on more addresses. */
  async listen(addresses: string[]): Promise<void> {
    for (const address of addresses) this.addresses.push((await this.server.listen(address)).address);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close();
  }

  async #restart(): Promise<void> {
    const old = this.server;
    this.server = this.#create();
    await old.close();
    for (const address of this.addresses) await this.server.listen(address);
  }

  #create(): Server {
    const server = new Server({ authenticate: (token) => token === TOKEN, tls: this.#tls });
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
      aborted: () => this.#aborted,
      headers: (_: unknown, { metadata }: CallContext) => {
        return [metadata.get("trace"), [...metadata.get("raw") as Uint8Array]];
      },
      callBack: async (_: unknown, { peer }: CallContext) => {
        const lines: unknown[] = [await peer.call("Screen.show", "from the server")];
        for await (const line of peer.stream("Screen.lines", 2)) lines.push(line);
        await peer.call("Screen.fail").catch((error: RpcError) => lines.push(error.code));
        return lines;
      },
      restart: () => this.#restart(),
    });
  }

  /** Counts a call that is given up. */
  #untilAborted({ signal }: CallContext): Promise<void> {
    return new Promise((resolve) =>
      signal.addEventListener("abort", () => {
        this.#aborted++;
        resolve();
      })
    );
  }
}

async function* endless(): AsyncGenerator<number> {
  for (let i = 1;; i++) yield await Promise.resolve(i);
}
