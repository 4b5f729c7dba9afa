// A faulty network, run as a process: forwards TCP connections and injects faults on command.
//   proxy.ts PORT...    prints its process id and its ports; reads one fault per line of stdin, as JSON

/** A fault of a route. */
export interface Fault {
  /** The index of the route. */
  readonly route: number;
  /**
   * `cut` closes open connections, `hold` stops forwarding without closing, `delay` forwards late, `refuse`
   * closes new connections.
   */
  readonly kind: "none" | "cut" | "hold" | "delay" | "refuse";
  /** The delay, in ms. */
  readonly ms: number;
}

/** A route: from a local port to the port of a server. */
class Route {
  readonly listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #port: number;
  readonly #open = new Set<Deno.TcpConn>();
  #fault: Fault = { route: 0, kind: "none", ms: 0 };
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
      else this.#connect(near).catch(() => {});
    }
  }

  async #connect(near: Deno.TcpConn): Promise<void> {
    this.#open.add(near);
    try {
      const far = await Deno.connect({ hostname: "127.0.0.1", port: this.#port });
      this.#open.add(far);
      await Promise.all(
        [this.#forward(near, far), this.#forward(far, near)].map((route) => route.catch(() => {})),
      )
        .finally(
          () => this.#close(far),
        );
    } finally {
      this.#close(near);
    }
  }

  async #forward(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
    const chunk = new Uint8Array(65_536);
    try {
      for (let count; (count = await from.read(chunk)) !== null;) {
        await this.#wait();
        for (let sent = 0; sent < count;) sent += await to.write(chunk.subarray(sent, count));
      }
      await this.#wait();
      await to.closeWrite();
    } catch {
      // After one side was lost, close the other side at once.
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
  const routes = Deno.args.map((port) => new Route(Number(port)));
  const ports = routes.map(({ listener }) => listener.addr.port);
  Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify({ pid: Deno.pid, ports })}\n`));
  let buffered = "";
  for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    const lines = (buffered + text).split("\n");
    buffered = lines.pop()!;
    for (const line of lines) {
      const fault: Fault = JSON.parse(line);
      routes[fault.route]!.set(fault);
    }
  }
  Deno.exit();
}
