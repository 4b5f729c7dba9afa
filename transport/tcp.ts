// Conns over Deno's TCP and Unix sockets. TLS is in tls.ts.

import { sleep, SYSTEM_CLOCK } from "../discovery/clock.ts";
import { formatAddress, type HostAddress, type UnixAddress } from "../discovery/endpoint.ts";
import type { Conn, Listener, ListeningOptions } from "./conn.ts";

/** Maximum number of connections waiting to be accepted. With Deno's default of 511, bursts wait for a second. */
export const BACKLOG = 4_096;
/** Pause in ms after an error of accept(), such as "too many open files"; doubles up to the second value. */
const ACCEPT_PAUSE = [10, 1_000] as const;

/** Pause in ms before dialing a Unix socket again whose backlog is full; doubles up to the second value. */
const DIAL_PAUSE = [2, 50] as const;

/** A host and a port, for any protocol. */
export interface HostAndPort {
  readonly hostname: string;
  readonly port: number;
}

/** A Conn over a socket. */
export class SocketConn implements Conn {
  readonly #socket: Deno.Conn;
  readonly #address: HostAddress["transport"] | UnixAddress;
  #closed = false;

  /** @param address The transport; for a Unix socket its address, since the system does not name its clients */
  constructor(socket: Deno.Conn, address: HostAddress["transport"] | UnixAddress) {
    this.#socket = socket;
    this.#address = address;
  }

  get peer(): string {
    const address = this.#address;
    if (typeof address === "object") return formatAddress(address);
    const { hostname, port } = this.#socket.remoteAddr as Deno.NetAddr;
    return formatAddress({ transport: address, hostname, port });
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
  readonly #options: ListeningOptions;
  readonly #stop = new AbortController();

  constructor(
    listener: Deno.Listener<S>,
    wrap: (socket: S) => Conn,
    options: ListeningOptions,
  ) {
    this.#listener = listener;
    this.#wrap = wrap;
    this.#options = options;
  }

  get port(): number {
    const { addr } = this.#listener;
    return addr.transport === "tcp" ? addr.port : 0;
  }

  async accept(): Promise<Conn | null> {
    let pause: number = ACCEPT_PAUSE[0];
    while (!this.#stop.signal.aborted) {
      try {
        return this.#wrap(await this.#listener.accept());
      } catch (error) {
        if (this.#stop.signal.aborted || error instanceof Deno.errors.BadResource) break;
        // The client reset the connection before it was accepted, which must not delay the next one.
        if (error instanceof Deno.errors.NotConnected || error instanceof Deno.errors.ConnectionAborted) {
          this.#options.onReset?.();
          continue;
        }
        this.#options.onAcceptError?.(error as Error, pause === ACCEPT_PAUSE[0]);
        await sleep(SYSTEM_CLOCK, pause, this.#stop.signal);
        pause = Math.min(pause * 2, ACCEPT_PAUSE[1]);
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
 * @throws {Error} If the address cannot be reached, or the signal aborts
 */
export async function dialTcp({ hostname, port }: HostAndPort, signal?: AbortSignal): Promise<Conn> {
  return tcpConn(await connectTcp({ hostname, port }, signal));
}

/**
 * Opens a TCP socket to a host and port.
 *
 * @throws {Error} If the address cannot be reached, or the signal aborts
 */
export async function connectTcp(
  { hostname, port }: HostAndPort,
  signal?: AbortSignal,
): Promise<Deno.TcpConn> {
  if (signal === undefined) return await Deno.connect({ hostname, port });
  signal.throwIfAborted();
  const cancel = new AbortController();
  // Deno checks its signal again after it has the socket, and leaks the socket if that check throws.
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
 * Dials a Unix socket. Retries while the socket's backlog is full: TCP does so by itself, but a Unix socket fails at once with
 * EAGAIN.
 *
 * @param signal Cancels the attempt
 * @throws {Error} If the address cannot be reached, or the signal aborts
 */
export async function dialUnix(address: UnixAddress, signal: AbortSignal): Promise<Conn> {
  const dial = () => Deno.connect({ transport: "unix", path: address.path });
  return new SocketConn(await whileFull(dial, signal), address);
}

/**
 * Repeats dialing a Unix socket while its backlog is full.
 *
 * @throws {Error} If it fails for another reason, or the signal aborts
 */
export async function whileFull<T>(dial: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let pause: number = DIAL_PAUSE[0];; pause = Math.min(pause * 2, DIAL_PAUSE[1])) {
    try {
      return await dial();
    } catch (error) {
      if (!isFull(error)) throw error;
      await sleep(SYSTEM_CLOCK, pause, signal);
      if (signal.aborted) throw error;
    }
  }
}

/** Whether an error means that the backlog of a Unix socket is full. */
function isFull(error: unknown): boolean {
  return (error as { code?: unknown }).code === "EAGAIN";
}

/**
 * Listens on a host and port over TCP; port 0 uses any free port.
 *
 * @throws {TypeError} If `reusePort` is set, and Deno runs without `--unstable-net`
 * @throws {Error} If listening fails
 */
export function listenTcp(
  { hostname, port }: HostAndPort,
  options: ListeningOptions = {},
): Listener {
  const { reusePort = false } = options;
  // Without the flag, Deno (2.9) would end the process. The flag is detected by another function that requires it.
  if (reusePort && !("listenDatagram" in Deno)) {
    throw new TypeError("reusePort requires Deno to run with --unstable-net");
  }
  const listener = Deno.listen({ hostname, port, tcpBacklog: BACKLOG, reusePort });
  return new SocketListener(listener, tcpConn, options);
}

/**
 * Listens on a Unix socket. An existing file at its path is never removed, not even a socket without a listener: another server
 * might start to listen there between the check and the removal. Deno 2.9 chooses the size of the backlog.
 *
 * @throws {Error} If listening fails; if the path exists, the message says what is there
 */
export async function listenUnix(
  address: UnixAddress,
  options: ListeningOptions = {},
): Promise<Listener> {
  const { path } = address;
  const wrap = (socket: Deno.UnixConn) => new SocketConn(socket, address);
  try {
    return new SocketListener(Deno.listen({ transport: "unix", path }), wrap, options);
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    throw new Deno.errors.AddrInUse(`${error.message}: ${await occupantOf(path)}`, { cause: error });
  }
}

/** Describes what occupies a path. Requires no permissions beyond those for listening. */
async function occupantOf(path: string): Promise<string> {
  try {
    if (!(await Deno.lstat(path)).isSocket) return "the path is not a socket; use another path";
    (await Deno.connect({ transport: "unix", path })).close();
    return "a server listens there";
  } catch (error) {
    if (isFull(error)) return "a server listens there";
    if (!(error instanceof Deno.errors.ConnectionRefused)) return "it is unknown what uses the path";
    return "no server listens there anymore; remove the file, which a killed process has left behind";
  }
}

function tcpConn(socket: Deno.TcpConn): Conn {
  // Frames are already collected into large writes, so Nagle's algorithm would only add latency.
  socket.setNoDelay(true);
  return new SocketConn(socket, "tcp");
}
