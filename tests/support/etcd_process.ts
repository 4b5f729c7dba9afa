// An etcd of a test's own: a process on free ports with a directory of its own, which can be killed, started again,
// and cut off. Tests with it are skipped, and say so, where etcd is not installed.

import { freePort, installed } from "./programs.ts";
import { until } from "./waiting.ts";

/** Whether there is an etcd to test with. */
export const etcdPresent: boolean = await installed("etcd");
/** For the names of tests. */
export const etcdSkipped: string = etcdPresent ? "" : " [SKIPPED: etcd cannot be run]";

/** One etcd, alone in its cluster. */
export class Etcd implements AsyncDisposable {
  readonly #directory: string;
  readonly #client: string;
  readonly #peer = `http://127.0.0.1:${freePort()}`;
  #process: Deno.ChildProcess | undefined;

  private constructor(directory: string, url: string) {
    this.#directory = directory;
    this.#client = url;
  }

  /** Starts one that knows nothing, and waits until it serves. */
  static async start(url = `http://127.0.0.1:${freePort()}`): Promise<Etcd> {
    const etcd = new Etcd(await Deno.makeTempDir({ prefix: "etcd-" }), url);
    await etcd.start();
    return etcd;
  }

  get url(): string {
    return this.#client;
  }

  /** Starts it again, with what it knew. */
  async start(): Promise<void> {
    this.#process = new Deno.Command("etcd", {
      args: [
        `--data-dir=${this.#directory}`,
        `--listen-client-urls=${this.#client}`,
        `--advertise-client-urls=${this.#client}`,
        `--listen-peer-urls=${this.#peer}`,
        `--initial-advertise-peer-urls=${this.#peer}`,
        `--initial-cluster=default=${this.#peer}`,
        // Nothing here depends on the disk surviving a loss of power.
        "--unsafe-no-fsync",
      ],
      stdout: "null",
      stderr: "null",
    }).spawn();
    await until(() => this.#serves(), "etcd to serve");
  }

  /** Kills it, as a machine that loses its power does. */
  async kill(): Promise<void> {
    this.#process?.kill("SIGKILL");
    await this.#process?.status;
    this.#process = undefined;
  }

  /** Asks its gateway. */
  async ask(path: string, body: unknown): Promise<Record<string, unknown>> {
    const response = await fetch(`${this.url}/v3/${path}`, { method: "POST", body: JSON.stringify(body) });
    return await response.json();
  }

  async #serves(): Promise<boolean> {
    try {
      return "header" in await this.ask("kv/range", { key: btoa("x") });
    } catch {
      return false;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await Deno.remove(this.#directory, { recursive: true });
  }
}

/** A way to a port of this machine that can be cut: then nothing passes, and neither side notices. */
export class Cable implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #port: number;
  readonly #conns = new Set<Deno.Conn>();
  readonly #running: Promise<void>;
  readonly #pumps: Promise<void>[] = [];
  #whole = Promise.withResolvers<void>();
  #cut = false;

  constructor(url: string) {
    this.#port = Number(new URL(url).port);
    this.#running = this.#accept();
  }

  get url(): string {
    return `http://127.0.0.1:${this.#listener.addr.port}`;
  }

  cut(): void {
    this.#cut = true;
    this.#whole = Promise.withResolvers();
  }

  mend(): void {
    this.#cut = false;
    this.#whole.resolve();
  }

  async #accept(): Promise<void> {
    for await (const conn of this.#listener) {
      try {
        const other = await Deno.connect({ hostname: "127.0.0.1", port: this.#port });
        for (const end of [conn, other]) this.#conns.add(end);
        this.#pumps.push(this.#pump(conn, other), this.#pump(other, conn));
      } catch {
        conn.close();
      }
    }
  }

  async #pump(from: Deno.Conn, to: Deno.Conn): Promise<void> {
    const buffer = new Uint8Array(16_384);
    try {
      for (let count = await from.read(buffer); count !== null; count = await from.read(buffer)) {
        if (this.#cut) await this.#whole.promise;
        for (let sent = 0; sent < count;) sent += await to.write(buffer.subarray(sent, count));
      }
    } catch {
      // Either end is gone.
    }
    for (const end of [from, to]) {
      if (this.#conns.delete(end)) end.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const conn of this.#conns) conn.close();
    this.#conns.clear();
    this.mend();
    await this.#running.catch(() => {});
    await Promise.all(this.#pumps);
  }
}
