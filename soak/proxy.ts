// A bad network, as a process of its own: passes TCP on from one port to another until it is told not to.
//   proxy.ts PORT...    prints its process id and its ports; takes one fault a line on stdin, as JSON

/** What a way may do to what passes. */
export interface Fault {
  /** The way's number. */
  readonly way: number;
  /** `cut` closes what is open, `hold` passes nothing on and closes nothing, `delay` is late, `refuse` lets nobody in. */
  readonly kind: "none" | "cut" | "hold" | "delay" | "refuse";
  /** How late, in ms. */
  readonly ms: number;
}

/** One way through: a port here, a port there. */
class Way {
  readonly listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #port: number;
  readonly #open = new Set<Deno.TcpConn>();
  #fault: Fault = { way: 0, kind: "none", ms: 0 };
  #changed = Promise.withResolvers<void>();

  constructor(port: number) {
    this.#port = port;
    this.#accept();
  }

  set(fault: Fault): void {
    if (fault.kind === "cut" || this.#fault.kind === "hold") {
      for (const socket of [...this.#open]) this.#close(socket);
    }
    this.#fault = fault;
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  async #accept(): Promise<void> {
    for await (const near of this.listener) {
      if (this.#fault.kind === "refuse") near.close();
      else this.#join(near).catch(() => {});
    }
  }

  async #join(near: Deno.TcpConn): Promise<void> {
    this.#open.add(near);
    try {
      const far = await Deno.connect({ hostname: "127.0.0.1", port: this.#port });
      this.#open.add(far);
      await Promise.all([this.#pass(near, far), this.#pass(far, near)].map((way) => way.catch(() => {})))
        .finally(
          () => this.#close(far),
        );
    } finally {
      this.#close(near);
    }
  }

  async #pass(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
    const chunk = new Uint8Array(65_536);
    try {
      for (let count; (count = await from.read(chunk)) !== null;) {
        await this.#wait();
        for (let sent = 0; sent < count;) sent += await to.write(chunk.subarray(sent, count));
      }
      await this.#wait();
      await to.closeWrite();
    } catch {
      // What one side has lost the other is not to wait for.
      this.#close(from);
      this.#close(to);
    }
  }

  async #wait(): Promise<void> {
    if (this.#fault.kind === "delay") await new Promise((resolve) => setTimeout(resolve, this.#fault.ms));
    while (this.#fault.kind === "hold") await this.#changed.promise;
  }

  #close(socket: Deno.TcpConn): void {
    if (this.#open.delete(socket)) socket.close();
  }
}

if (import.meta.main) {
  const ways = Deno.args.map((port) => new Way(Number(port)));
  const ports = ways.map(({ listener }) => listener.addr.port);
  Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify({ pid: Deno.pid, ports })}\n`));
  let held = "";
  for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    const lines = (held + text).split("\n");
    held = lines.pop()!;
    for (const line of lines) {
      const fault: Fault = JSON.parse(line);
      ways[fault.way]!.set(fault);
    }
  }
  Deno.exit();
}
