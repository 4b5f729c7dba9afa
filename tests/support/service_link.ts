// A server and a client of it over TCP, for tests of what users see; and servers that misbehave.

import { ANSWER } from "./raw_peer.ts";
import { connect, type ConnectOptions } from "../../client/mod.ts";
import type { Client } from "../../client/client.ts";
import { Server, type ServerOptions } from "../../server/mod.ts";
import type { SimNetwork } from "../../testing/mod.ts";
import type { Conn } from "../../transport/conn.ts";

/** What a link is made with. */
export interface LinkOptions {
  server?: ServerOptions;
  client?: ConnectOptions;
}

/** A server with the service `S`, and a client connected to it. */
export class Link implements AsyncDisposable {
  private constructor(readonly server: Server, readonly address: string, readonly client: Client) {}

  static async open(methods: object, options: LinkOptions = {}): Promise<Link> {
    const server = new Server(options.server).register("S", methods);
    const { address } = await server.listen("tcp@127.0.0.1:0");
    return new Link(server, address, await connect(address, options.client));
  }

  call<T = unknown>(...[method, ...rest]: Parameters<Client["call"]>): Promise<T> {
    return this.client.call<T>(`S.${method}`, ...rest);
  }

  /** Calls whose handlers have been started, and those that have not returned. */
  counts(method: string): { calls: number; errors: number; inFlight: number } {
    const { calls, errors, inFlight } = this.server.stats().methods.find((each) =>
      each.method === `S.${method}`
    )!;
    return { calls, errors, inFlight };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
    await this.server.close();
  }
}

/** Servers with the same service, each with its own count of calls. */
export class Fleet implements AsyncDisposable {
  readonly servers: Server[] = [];
  readonly addresses: string[] = [];

  /** @param network A simulated network, for tests in which time matters; the hosts are `s0`, `s1`, … */
  static async open(
    size: number,
    methods: (index: number) => object,
    options?: ServerOptions,
    network?: SimNetwork,
  ): Promise<Fleet> {
    const fleet = new Fleet();
    for (let index = 0; index < size; index++) {
      const server = new Server({ network: network?.host(`s${index}`), ...options });
      fleet.servers.push(server.register("S", methods(index)));
      const { address } = await server.listen(network ? `tcp@s${index}:0` : "tcp@127.0.0.1:0");
      fleet.addresses.push(address);
    }
    return fleet;
  }

  /** Calls of all methods of each server. */
  get calls(): number[] {
    return this.servers.map((server) => server.stats().methods.reduce((sum, { calls }) => sum + calls, 0));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.servers.map((server) => server.close()));
  }
}

/** A listener whose connections are handled by hand. */
export class RawServer implements AsyncDisposable {
  readonly address: string;
  /** When each connection was accepted. */
  readonly accepted: number[] = [];
  readonly #listener: Deno.TcpListener;
  readonly #conns = new Set<Deno.Conn>();
  readonly #serving: Promise<void>;

  /** @param serve What happens with each connection; nothing by default */
  constructor(serve: (conn: Deno.Conn) => Promise<void> = () => Promise.resolve(), port = 0) {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port });
    this.address = `tcp@127.0.0.1:${this.#listener.addr.port}`;
    this.#serving = this.#accept(serve);
  }

  /** Ends all its connections. */
  drop(): void {
    for (const conn of this.#conns) close(conn);
    this.#conns.clear();
  }

  async #accept(serve: (conn: Deno.Conn) => Promise<void>): Promise<void> {
    const under: Promise<void>[] = [];
    try {
      for (;;) {
        const conn = await this.#listener.accept();
        this.accepted.push(performance.now());
        this.#conns.add(conn);
        under.push(serve(conn).catch(() => {}));
      }
    } catch {
      // It was closed.
    }
    await Promise.all(under);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    close(this.#listener);
    this.drop();
    await this.#serving;
  }
}

function close(resource: { close(): void }): void {
  try {
    resource.close();
  } catch {
    // It was closed before.
  }
}

/** Reads a connection to its end, and ends it. */
export async function readToEnd(conn: Pick<Conn, "read" | "close">): Promise<void> {
  const chunk = new Uint8Array(4_096);
  while (await conn.read(chunk) !== null);
  conn.close();
}

/** Reads a client's option and answers it as a server would. Returns the frames that came with the option. */
export async function answerHandshake(conn: Pick<Conn, "read" | "write">): Promise<Uint8Array> {
  const chunk = new Uint8Array(4_096);
  let read = 0;
  while (!chunk.includes(10)) {
    const count = await conn.read(chunk.subarray(read));
    if (count === null) throw new Error("The client went away");
    read += count;
  }
  await conn.write(new TextEncoder().encode(ANSWER));
  return chunk.subarray(chunk.indexOf(10) + 1, read);
}
