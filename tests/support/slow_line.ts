// A line of so many bytes a second for what a server sends, in front of a port of this machine; what it is sent is not
// slowed down, so that it gets more than it can answer.

/** How long a slice of time is, in ms. */
const SLICE = 20;
/** Bytes in a slice of time where nothing is slow. */
const FAST = 4_000_000;

/** One that runs. */
export class SlowLine implements AsyncDisposable {
  readonly port: number;
  readonly #listener: Deno.TcpListener;
  readonly #sockets = new Set<Deno.TcpConn>();
  readonly #done: Promise<unknown>[] = [];

  constructor(target: number, bytesPerSecond: number) {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.#listener = listener;
    this.port = listener.addr.port;
    const slice = Math.ceil(bytesPerSecond * SLICE / 1_000);
    this.#done.push(
      (async () => {
        for await (const near of listener) {
          const far = await Deno.connect({ hostname: "127.0.0.1", port: target });
          for (const socket of [near, far]) {
            socket.setNoDelay(true);
            this.#sockets.add(socket);
          }
          this.#done.push(this.#carry(near, far, FAST), this.#carry(far, near, slice));
        }
      })().catch(() => {}),
    );
  }

  async #carry(from: Deno.TcpConn, to: Deno.TcpConn, slice: number): Promise<void> {
    const buffer = new Uint8Array(slice);
    try {
      for (let due = performance.now();;) {
        const count = await from.read(buffer);
        if (count === null) return await to.closeWrite();
        for (let at = 0; at < count;) at += await to.write(buffer.subarray(at, count));
        due = Math.max(due, performance.now() - SLICE) + SLICE * count / slice;
        const wait = due - performance.now();
        if (wait > 1) await new Promise((resolve) => setTimeout(resolve, wait));
      }
    } catch {
      this.#close(from);
      this.#close(to);
    }
  }

  #close(socket: Deno.TcpConn): void {
    if (this.#sockets.delete(socket)) socket.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const socket of [...this.#sockets]) this.#close(socket);
    await Promise.all(this.#done);
  }
}
