// A Durable Object that keeps one client, and so one connection, for all requests of all Workers: connections of an object last as
// long as the object.

import { type Client, connect, type RpcError } from "@troodon/rpc/browser";

/** An object of a namespace: the part of the platform's interface that is used here. */
interface Namespace {
  idFromName(name: string): unknown;
  get(id: unknown): { fetch(request: Request): Promise<Response> };
}

/** Bindings of the Worker. */
export interface Env {
  /** The address of the server, such as `ws@127.0.0.1:9000`. */
  SERVER: string;
  /** The namespace of {@linkcode Caller}. */
  CALLER: Namespace;
}

/** Calls the server. */
export class Caller {
  readonly #env: Env;
  #client: Promise<Client> | undefined;

  constructor(_state: unknown, env: Env) {
    this.#env = env;
  }

  async fetch(request: Request): Promise<Response> {
    const name = new URL(request.url).searchParams.get("name") ?? "world";
    try {
      const client = await this.#connected();
      return new Response(await client.call<string>("Greeter.greet", name));
    } catch (error) {
      return new Response((error as RpcError).message, { status: 502 });
    }
  }

  /** The client, which reconnects by itself. Created at the first request, and again if that fails. */
  #connected(): Promise<Client> {
    this.#client ??= connect(this.#env.SERVER, { timeout: 5_000 }).catch((error) => {
      this.#client = undefined;
      throw error;
    });
    return this.#client;
  }
}

export default {
  fetch(request: Request, env: Env): Promise<Response> {
    return env.CALLER.get(env.CALLER.idFromName("caller")).fetch(request);
  },
};
