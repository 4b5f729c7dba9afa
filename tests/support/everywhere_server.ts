// What everywhere.ts calls, in Deno: a server that listens on every transport and can be restarted, and a registry of another origin
// that lets web pages read its list.

import { Registry } from "../../mod.ts";
import { pem } from "./certs.ts";
import { TOKEN, type Where } from "./everywhere.ts";
import { EverywhereServices } from "./everywhere_services.ts";

/** A path that the permissions of the tests name. */
const SOCKET = "/tmp/troodon-everywhere.sock";

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
export class EverywhereServer implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  readonly where: Where;

  private constructor(stack: AsyncDisposableStack, where: Where) {
    this.#stack = stack;
    this.where = where;
  }

  /**
   * @param unix Whether it listens on a Unix socket too, which only one can at a time
   * @param pages Answers what is not RPC
   */
  static async start(
    { unix = false, pages }: {
      unix?: boolean;
      pages?: (request: Request) => Promise<Response | undefined>;
    } = {},
  ): Promise<EverywhereServer> {
    const stack = new AsyncDisposableStack();
    const services = stack.use(new EverywhereServices({ cert: pem("server.pem"), key: pem("server.key") }));
    await services.listen(["tcp", "tls", "http"].map((name) => `${name}@127.0.0.1:0`));
    if (unix) {
      // A killed test run does not remove it.
      await Deno.remove(SOCKET).catch(() => {});
      await services.listen([`unix@${SOCKET}`]);
    }
    const rpc = stack.use(Deno.serve(
      LOCAL,
      async (request, info) => await pages?.(request) ?? await services.server.fetch(request, info),
    ));
    // The token makes browsers ask before they send it.
    const registry = new Registry({ token: TOKEN, protectReads: true, ttl: 3_600_000 });
    const http = stack.use(Deno.serve(LOCAL, readableFromAnywhere(registry)));
    stack.use(registry);
    const where = {
      host: `127.0.0.1:${rpc.addr.port}`,
      registry: `http://127.0.0.1:${http.addr.port}`,
      addresses: services.addresses,
      ca: pem("ca.pem"),
    };
    const headers = { "x-rpc-server": `ws@${where.host}`, authorization: `Bearer ${TOKEN}` };
    const response = await fetch(`${where.registry}/_rpc_/registry`, { method: "POST", headers });
    await response.body?.cancel();
    return new EverywhereServer(stack, where);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** What the scenario sees. */
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
