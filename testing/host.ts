// A host of a simulated network: servers listen on it, clients dial from it, and HTTP is sent from and to it.

import { type Address, formatAddress } from "../discovery/endpoint.ts";
import type { Conn, Listener, Network } from "../transport/conn.ts";
import { Link } from "./sim_conn.ts";
import { carryBody } from "./http_body.ts";
import { abortable, type Path } from "./path.ts";
import { type HttpHandler, LAST_PORT, Ports } from "./ports.ts";
import type { Wiring } from "./wiring.ts";

/** Names and addresses of a host for itself. */
const LOOPBACK: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "::1", "0.0.0.0", "::"]);
/** The transports that are plain byte streams. */
const SIMULATED: ReadonlySet<string> = new Set(["tcp", "http"]);

/**
 * One host of a {@linkcode SimNetwork}: the `network` option of the servers and clients on it, and the `fetch` for HTTP from
 * it. Created by {@linkcode SimNetwork.host}.
 *
 * @example A registry that a server announces itself to
 * ```ts
 * import { announce, connect, Registry, RegistryDiscovery, Server } from "@troodon/rpc";
 * import { SimNetwork } from "@troodon/rpc/testing";
 *
 * const net = new SimNetwork();
 * const [hub, orders, shop] = [net.host("hub"), net.host("orders"), net.host("shop")];
 *
 * await using registry = new Registry();
 * using _web = hub.serve(9999, registry.fetch);
 *
 * await using server = new Server({ network: orders }).register("Orders", { count: () => 3 });
 * const { address } = await server.listen("tcp@orders:9000");
 * await using _registration = await announce("http://hub:9999", { address }, { fetch: orders.fetch });
 *
 * const discovery = new RegistryDiscovery("http://hub:9999", { fetch: shop.fetch });
 * await using client = await connect(discovery, { network: shop });
 * console.log(await client.call("Orders.count")); // 3
 * ```
 */
export class SimHost implements Network {
  /** The host's name in addresses. */
  readonly name: string;
  /**
   * Replaces the global `fetch`, for hosts of the same network. A request and the head of its response each take the `delay` of
   * their path, and wait while it is stalled or partitioned. The body of a response is sent over a connection and subject to
   * its faults; that of an event stream lasts until one side ends it.
   */
  readonly fetch: (url: string, init?: RequestInit) => Promise<Response>;
  readonly #wiring: Wiring;
  readonly #ports: Ports;

  /** @ignore Use {@linkcode SimNetwork.host}. */
  constructor(name: string, wiring: Wiring) {
    this.name = name;
    this.#wiring = wiring;
    this.#ports = new Ports(name);
    wiring.ports.set(name, this.#ports);
    this.fetch = (url, init) => this.#fetch(url, init);
  }

  /**
   * Opens a connection to a host of the same network.
   *
   * @param address A `tcp@` or `http@` address with a host's name; `localhost` is this host
   * @param signal Cancels the attempt
   * @throws {TypeError} If the network has no such host, or the address requires TLS or a WebSocket
   * @throws {Deno.errors.ConnectionRefused} If no server listens there, or the path refuses the connection
   */
  async dial(address: Address, signal: AbortSignal): Promise<Conn> {
    const { hostname, port } = checkSimulated(address);
    const { trace } = this.#wiring;
    const { ports, there, back } = this.#pathsTo(hostname);
    const name = this.#wiring.nextName();
    trace.add(`${name} ${this.name} dials ${there.to}:${port}`);
    await there.cross(there.drawConnectDelay(back), signal);
    await back.cross(0, signal);
    const listener = there.drawRefusal() ? undefined : ports.listeners.get(port);
    if (listener === undefined) {
      trace.add(`${name} ${there.to}:${port} refuses`);
      throw new Deno.errors.ConnectionRefused(`Connection refused by ${there.to}:${port}`);
    }
    trace.add(`${name} ${there.to}:${port} accepts`);
    const { ends } = this.#link(name, there, back, formatAddress(address));
    listener.enqueue(ends[1]);
    return ends[0];
  }

  /**
   * Listens on a port of this host.
   *
   * @param address A `tcp@` or `http@` address with this host's name, `0.0.0.0` or `localhost`
   * @throws {TypeError} If it is another host's address, or requires TLS or a WebSocket
   * @throws {Deno.errors.AddrInUse} If the port is in use
   */
  listen(address: Address): Listener {
    const { hostname, port: asked } = checkSimulated(address);
    if (hostname !== this.name && !LOOPBACK.has(hostname)) {
      throw new TypeError(`this is the host ${this.name}, not ${hostname}`);
    }
    return this.#ports.listen(asked === 0 ? this.#ports.next() : asked);
  }

  /**
   * Serves HTTP requests on a port of this host.
   *
   * @param port The port, 1 to 65535
   * @param handler The handler, such as `registry.fetch`
   * @returns Stops serving when it is disposed
   * @throws {RangeError} If the port is not an integer from 1 to 65535
   * @throws {Deno.errors.AddrInUse} If the port is in use
   */
  serve(port: number, handler: HttpHandler): Disposable {
    if (!(Number.isInteger(port) && port > 0 && port <= LAST_PORT)) {
      throw new RangeError(`Cannot serve on port ${port}: expected an integer from 1 to ${LAST_PORT}`);
    }
    return this.#ports.serve(port, handler);
  }

  async #fetch(url: string, init?: RequestInit): Promise<Response> {
    const { hostname, port, protocol } = new URL(url);
    if (protocol !== "http:") {
      throw new TypeError(`Cannot fetch ${url}: only http is simulated`);
    }
    const { trace } = this.#wiring;
    const { ports, there, back } = this.#pathsTo(hostname);
    const request = new Request(url, init);
    const { signal } = request;
    const text = `${request.method} ${there.to}:${port || 80}`;
    trace.add(`${this.name} asks ${text}`);
    await there.cross(there.drawDelay(), signal);
    const handler = there.drawRefusal() ? undefined : ports.handlers.get(Number(port || 80));
    const answer = Promise.resolve(handler?.(request));
    const response = await abortable(answer, signal).catch((error) => {
      // The late response is not read.
      answer.then((late) => late?.body?.cancel()).catch(() => {});
      throw error;
    });
    let body: ReadableStream<Uint8Array> | null = null;
    if (response?.body) {
      const name = this.#wiring.nextName();
      trace.add(`${name} ${there.to} answers ${this.name}`);
      // Sent together with the head.
      body = carryBody(response.body, this.#link(name, there, back, `tcp@${there.to}:${port || 80}`), signal);
    }
    await back.cross(back.drawDelay(), signal);
    trace.add(`${this.name} asked ${text}: ${response?.status ?? "refused"}`);
    if (response === undefined) throw new TypeError(`Cannot fetch ${url}: connection refused`);
    const { status, statusText, headers } = response;
    return new Response(body, { status, statusText, headers });
  }

  /** Creates a connection, which the network tracks until both ends are closed. */
  #link(name: string, there: Path, back: Path, address: string): Link {
    const here = formatAddress({ transport: "tcp", hostname: this.name, port: this.#ports.next() });
    const { links } = this.#wiring;
    const link: Link = new Link(name, there, back, [here, address], () => links.delete(link));
    links.add(link);
    return link;
  }

  #pathsTo(hostname: string) {
    const to = LOOPBACK.has(hostname) ? this.name : hostname;
    const ports = this.#wiring.portsOf(to);
    return { ports, there: this.#wiring.path(this.name, to), back: this.#wiring.path(to, this.name) };
  }
}

function checkSimulated(address: Address): { hostname: string; port: number } {
  if (SIMULATED.has(address.transport) && "port" in address) return address;
  throw new TypeError(`${address.transport}@ is not simulated: expected tcp@host:port or http@host:port`);
}
