// A child process, controlled by lines of JSON.

/** One process of the soak test. */
export class Child {
  readonly #child: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  readonly #exited: Promise<void>;
  #buffer = "";
  #ended = false;

  /**
   * @param script A file of this folder
   * @param permissions The name of a permission set in `deno.json`
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

  /** The next line of its output, parsed. */
  async line<T>(): Promise<T> {
    while (!this.#buffer.includes("\n")) {
      const { value, done } = await this.#lines.read();
      if (done) throw new Error("A child process of the soak test has ended early");
      this.#buffer += value;
    }
    const end = this.#buffer.indexOf("\n");
    const line = this.#buffer.slice(0, end);
    this.#buffer = this.#buffer.slice(end + 1);
    return JSON.parse(line);
  }

  /** Waits for its first line, which contains its process id. */
  async started<T>(): Promise<T> {
    const line = await this.line<T & { pid: number }>();
    if (line.pid !== this.pid) {
      throw new Error(
        "The command `deno` is a wrapper, not Deno itself: its child processes could not be killed",
      );
    }
    return line;
  }

  async send(line: unknown): Promise<void> {
    await this.#stdin.write(new TextEncoder().encode(`${JSON.stringify(line)}\n`));
  }

  /** Sends a signal, unless the process has ended. */
  signal(name: Deno.Signal): void {
    if (!this.#ended) this.#child.kill(name);
  }

  /** Sends a signal that ends the process, waits for its exit and releases its resources. */
  async end(name: Deno.Signal): Promise<void> {
    this.signal(name);
    await this.#exited;
    await this.#stdin.close().catch(() => {});
    await this.#lines.cancel();
  }
}

/** Resolves after `ms` ms. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
