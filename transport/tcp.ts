// Deno's sockets as Conns, over TCP and Unix sockets; tls.ts makes those with TLS.

import { sleep, SYSTEM_CLOCK } from "../discovery/clock.ts";
import { formatAddress, type HostAddress, type UnixAddress } from "../discovery/endpoint.ts";
import type { Conn, Listener, ListeningOptions, Trouble } from "./conn.ts";

/** Connections that may wait to be accepted: with Deno's default of 511, bursts wait for a second. */
export const BACKLOG = 4_096;
/** How long accepting rests, in ms, after an error such as "too many open files"; doubles up to the second. */
const ACCEPT_REST = [10, 1_000] as const;

/** How long dialling a Unix socket rests, in ms, while its queue is full; doubles, up to the second. */
const DIAL_REST = [2, 50] as const;

/** A host and a port, however it is spoken to there. */
export interface HostAndPort {
  readonly hostname: string;
  readonly port: number;
}

/** A socket as a Conn. */
export class SocketConn implements Conn {
  readonly #socket: Deno.Conn;
  readonly #spoken: HostAddress["transport"] | UnixAddress;
  #closed = false;

  /** @param spoken What is spoken over it; where a Unix socket is, since the system does not name its clients */
  constructor(socket: Deno.Conn, spoken: HostAddress["transport"] | UnixAddress) {
    this.#socket = socket;
    this.#spoken = spoken;
  }

  get peer(): string {
    const spoken = this.#spoken;
    if (typeof spoken === "object") return formatAddress(spoken);
    const { hostname, port } = this.#socket.remoteAddr as Deno.NetAddr;
    return formatAddress({ transport: spoken, hostname, port });
  }

  read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    return this.#socket.read(into);
  }

  write(from: Uint8Array<ArrayBuffer>): Promise<number> {
    return this.#socket.write(from);
  }

  closeWrite(): Promise<void> {
    return this.#socket.closeWrite();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
  }
}

class SocketListener<S extends Deno.Conn> implements Listener {
  readonly #listener: Deno.Listener<S>;
  readonly #wrap: (socket: S) => Conn;
  readonly #trouble: Trouble;
  readonly #stop = new AbortController();

  constructor(listener: Deno.Listener<S>, wrap: (socket: S) => Conn, trouble: Trouble = () => {}) {
    this.#listener = listener;
    this.#wrap = wrap;
    this.#trouble = trouble;
  }

  get port(): number {
    const { addr } = this.#listener;
    return addr.transport === "tcp" ? addr.port : 0;
  }

  async accept(): Promise<Conn | null> {
    let rest: number = ACCEPT_REST[0];
    while (!this.#stop.signal.aborted) {
      try {
        return this.#wrap(await this.#listener.accept());
      } catch (error) {
        if (this.#stop.signal.aborted || error instanceof Deno.errors.BadResource) break;
        // The client reset the connection while it waited to be accepted. The next one must not wait for that.
        if (error instanceof Deno.errors.NotConnected || error instanceof Deno.errors.ConnectionAborted) {
          continue;
        }
        this.#trouble(error as Error, rest === ACCEPT_REST[0]);
        await sleep(SYSTEM_CLOCK, rest, this.#stop.signal);
        rest = Math.min(rest * 2, ACCEPT_REST[1]);
      }
    }
    return null;
  }

  close(): void {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    this.#listener.close();
  }
}

/**
 * Dials a host and port over TCP.
 *
 * @throws {Error} If nobody answers there, or the signal aborts
 */
export async function dialTcp({ hostname, port }: HostAndPort, signal?: AbortSignal): Promise<Conn> {
  return tcpConn(await connectTcp({ hostname, port }, signal));
}

/**
 * Connects to a host and port.
 *
 * @throws {Error} If nobody answers there, or the signal aborts
 */
export async function connectTcp(
  { hostname, port }: HostAndPort,
  signal?: AbortSignal,
): Promise<Deno.TcpConn> {
  if (signal === undefined) return await Deno.connect({ hostname, port });
  signal.throwIfAborted();
  const cancel = new AbortController();
  // Deno asks its signal once more when it has the socket, and loses the socket if that throws.
  cancel.signal.throwIfAborted = () => {};
  const abort = () => cancel.abort();
  signal.addEventListener("abort", abort);
  try {
    const socket = await Deno.connect({ hostname, port, signal: cancel.signal });
    if (!signal.aborted) return socket;
    socket.close();
    throw signal.reason;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/**
 * Dials a Unix socket. While as many connections as the system allows wait to be accepted there, it tries again: what TCP
 * does by itself, a Unix socket refuses at once with EAGAIN.
 *
 * @param signal Gives up
 * @throws {Error} If nobody answers there, or the signal aborts
 */
export async function dialUnix(address: UnixAddress, signal: AbortSignal): Promise<Conn> {
  for (let rest: number = DIAL_REST[0];; rest = Math.min(rest * 2, DIAL_REST[1])) {
    try {
      return new SocketConn(await Deno.connect({ transport: "unix", path: address.path }), address);
    } catch (error) {
      if (!isFull(error)) throw error;
      await sleep(SYSTEM_CLOCK, rest, signal);
      if (signal.aborted) throw error;
    }
  }
}

/** Whether too many connections wait to be accepted at a Unix socket. */
function isFull(error: unknown): boolean {
  return (error as { code?: unknown }).code === "EAGAIN";
}

/**
 * Listens on a host and port over TCP; port 0 takes a free one.
 *
 * @throws {TypeError} If it is to be shared, and Deno runs without `--unstable-net`
 * @throws {Error} If the address cannot be listened on
 */
export function listenTcp(
  { hostname, port }: HostAndPort,
  { trouble, reusePort = false }: ListeningOptions = {},
): Listener {
  // Asked without the flag, Deno (2.9) ends the process. The flag is known by another function that needs it.
  if (reusePort && !("listenDatagram" in Deno)) {
    throw new TypeError("reusePort needs Deno to run with --unstable-net");
  }
  const listener = Deno.listen({ hostname, port, tcpBacklog: BACKLOG, reusePort });
  return new SocketListener(listener, tcpConn, trouble);
}

/**
 * Listens on a Unix socket. What is at its path already is left alone, even a socket that nobody listens on: between
 * looking and removing, another server may have begun to listen there. Deno 2.9 chooses how many connections may wait
 * to be accepted there.
 *
 * @throws {Error} If the path cannot be listened on; if it is taken, the message says by what
 */
export async function listenUnix(
  address: UnixAddress,
  { trouble }: ListeningOptions = {},
): Promise<Listener> {
  const { path } = address;
  const wrap = (socket: Deno.UnixConn) => new SocketConn(socket, address);
  try {
    return new SocketListener(Deno.listen({ transport: "unix", path }), wrap, trouble);
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    throw new Deno.errors.AddrInUse(`${error.message}: ${await inTheWay(path)}`, { cause: error });
  }
}

/** What is at a path where nobody can listen. Takes no permission that listening would not take. */
async function inTheWay(path: string): Promise<string> {
  try {
    if (!(await Deno.lstat(path)).isSocket) return "what is at that path is no socket, so use another path";
    (await Deno.connect({ transport: "unix", path })).close();
    return "a server listens there";
  } catch (error) {
    if (isFull(error)) return "a server listens there";
    if (!(error instanceof Deno.errors.ConnectionRefused)) return "it could not be found out by whom";
    return "nobody listens there any more, a process that was killed has left the file behind, so remove it";
  }
}

function tcpConn(socket: Deno.TcpConn): Conn {
  // Frames are gathered into whole writes already; waiting for more would only add latency.
  socket.setNoDelay(true);
  return new SocketConn(socket, "tcp");
}
