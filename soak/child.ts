// A process that is started, spoken to in lines of JSON, and stopped.

/** One process of the soak. */
export class Child {
  readonly #child: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  readonly #exited: Promise<void>;
  #held = "";
  #ended = false;

  /**
   * @param script A file of this folder
   * @param permissions The name of a set in `deno.json`
   */
  constructor(script: string, args: readonly string[], permissions = "soak-peer") {
    const { href } = new URL(script, import.meta.url);
    this.#child = new Deno.Command("deno", {
      args: ["run", "-q", "--v8-flags=--expose-gc", `-P=${permissions}`, href, ...args],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#lines = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    this.#stdin = this.#child.stdin.getWriter();
    this.#stdin.closed.catch(() => {});
    this.#exited = this.#child.status.then(() => {
      this.#ended = true;
    });
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** The next line. */
  async line<T>(): Promise<T> {
    while (!this.#held.includes("\n")) {
      const { value, done } = await this.#lines.read();
      if (done) throw new Error("A process of the soak has ended early");
      this.#held += value;
    }
    const end = this.#held.indexOf("\n");
    const line = this.#held.slice(0, end);
    this.#held = this.#held.slice(end + 1);
    return JSON.parse(line);
  }

  /** Waits for the line that says that it runs, which holds its process id. */
  async started<T>(): Promise<T> {
    const line = await this.line<T & { pid: number }>();
    if (line.pid !== this.pid) {
      throw new Error("The program `deno` is not Deno itself: what it starts could not be killed");
    }
    return line;
  }

  async say(line: unknown): Promise<void> {
    await this.#stdin.write(new TextEncoder().encode(`${JSON.stringify(line)}\n`));
  }

  /** Sends a signal; one that comes too late is none. */
  signal(name: Deno.Signal): void {
    if (!this.#ended) this.#child.kill(name);
  }

  /** Sends a signal that ends it, and waits until it has ended and nothing of it is left here. */
  async end(name: Deno.Signal): Promise<void> {
    this.signal(name);
    await this.#exited;
    await this.#stdin.close().catch(() => {});
    await this.#lines.cancel();
  }
}

/** Waits for so many ms. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
