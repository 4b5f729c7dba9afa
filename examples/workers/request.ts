// A Worker that calls an RPC server over a connection per request: a Worker may not use a connection of one request in another.

import { connect, type RpcError } from "@troodon/rpc/browser";

/** Bindings of the Worker. */
export interface Env {
  /** The address of the server, such as `ws@127.0.0.1:9000`. */
  SERVER: string;
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const name = new URL(request.url).searchParams.get("name") ?? "world";
    const client = await connect(env.SERVER, { timeout: 5_000 });
    try {
      return new Response(await client.call<string>("Greeter.greet", name));
    } catch (error) {
      return new Response((error as RpcError).message, { status: 502 });
    } finally {
      await client.close();
    }
  },
};
