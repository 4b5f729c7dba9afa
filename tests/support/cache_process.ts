// The cache example's processes, for tests: a registry here, peers as processes of their own, and asking them by HTTP.

import { Registry } from "@troodon/rpc";
import type { GroupStats } from "../../examples/cache/group.ts";
import { until } from "./waiting.ts";

const MAIN = new URL("../../examples/cache/main.ts", import.meta.url).href;

/** What a peer says of itself at /stats. */
export interface PeerStats {
  self: string;
  peers: { address: string; state: string }[];
  groups: Record<string, GroupStats>;
}

/** Runs the program with the permissions of its task. */
export function cacheCommand(...args: string[]): Deno.Command {
  return new Deno.Command("deno", {
    args: ["run", "--quiet", "-P=cache", MAIN, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

/** A process of the program, and what it prints. */
export class CacheProcess implements AsyncDisposable {
  readonly child: Deno.ChildProcess;
  /** What it has printed so far. */
  out = "";
  err = "";
  readonly #reading: Promise<void>[];

  constructor(...args: string[]) {
    this.child = cacheCommand(...args).spawn();
    this.#reading = [
      read(this.child.stdout, (chunk) => this.out += chunk),
      read(this.child.stderr, (chunk) => this.err += chunk),
    ];
  }

  /** Waits until it has printed what `pattern` matches. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    await until(() => pattern.test(this.out), `${pattern} in what it prints: ${this.out}${this.err}`);
    return pattern.exec(this.out)!;
  }

  /** Stops it, and waits until it has ended. */
  async stop(signal: Deno.Signal): Promise<Deno.CommandStatus> {
    try {
      this.child.kill(signal);
    } catch {
      // It has ended already.
    }
    await Promise.all(this.#reading);
    return await this.child.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop("SIGKILL");
  }
}

/** A registry in this process, and peers that it lists. */
export class Cluster implements AsyncDisposable {
  readonly #registry = new Registry();
  readonly #processes: CacheProcess[] = [];
  readonly #port: number;
  #web: Deno.HttpServer | undefined;
  /** Where the peers serve HTTP, in the order in which they were started. */
  readonly urls: string[] = [];

  /** @param port Where the registry is going to be; it is opened by {@linkcode open} */
  constructor(port = 0) {
    this.#port = port;
  }

  /** A registry and some peers, which know each other. */
  static async start(count: number): Promise<Cluster> {
    const cluster = new Cluster();
    cluster.open();
    await Promise.all(Array.from({ length: count }, () => cluster.add(cluster.registryUrl)));
    await cluster.known(count);
    return cluster;
  }

  get registryUrl(): string {
    return `http://127.0.0.1:${(this.#web!.addr as Deno.NetAddr).port}`;
  }

  /** Opens the registry. */
  open(): void {
    this.#web = Deno.serve(
      { hostname: "127.0.0.1", port: this.#port, onListen: () => {} },
      this.#registry.fetch,
    );
  }

  /** Ends the registry. */
  async close(): Promise<void> {
    await this.#registry.close();
    await this.#web?.shutdown();
    this.#web = undefined;
  }

  /** Starts a peer, and waits until it serves. */
  async add(registryUrl: string): Promise<string> {
    const process = new CacheProcess(`--registry=${registryUrl}`);
    this.#processes.push(process);
    const [, url] = await process.printed(/^cache: (\S+) \(tcp@\S+\)\n/);
    this.urls[this.#processes.indexOf(process)] = url!;
    return url!;
  }

  /** The process of a peer. */
  process(index: number): Deno.ChildProcess {
    return this.#processes[index]!.child;
  }

  /** Waits until the first `asked` peers, which is all by default, see `count` of them on the ring. */
  async known(count: number, asked = this.urls.length): Promise<void> {
    await until(async () => {
      const all = await Promise.all(this.urls.slice(0, asked).map(statsOf));
      return all.every(({ peers }) => peers.length === count);
    }, `${count} peers on the ring`);
  }

  /** Sends a peer a signal. */
  kill(index: number, signal: Deno.Signal): void {
    this.#processes[index]!.child.kill(signal);
  }

  /** Stops a peer in good order. */
  stop(index: number): Promise<Deno.CommandStatus> {
    return this.#processes[index]!.stop("SIGTERM");
  }

  /** The sum of a figure over some peers. */
  async sum(group: string, figure: keyof GroupStats, urls = this.urls): Promise<number> {
    const all = await Promise.all(urls.map(statsOf));
    return all.reduce((sum, { groups }) => sum + groups[group]![figure], 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#processes.map((process) => process[Symbol.asyncDispose]()));
    await this.close();
  }
}

/** Asks a peer for its figures. */
export async function statsOf(url: string): Promise<PeerStats> {
  return await (await fetch(`${url}stats`)).json();
}

/** Asks a peer for a value. */
export async function ask(
  url: string,
  group: string,
  key: string,
): Promise<{ status: number; text: string; from: string }> {
  const response = await fetch(`${url}api?${new URLSearchParams({ group, key })}`);
  return {
    status: response.status,
    text: await response.text(),
    from: response.headers.get("x-cache") ?? "",
  };
}

async function read(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  take: (chunk: string) => void,
): Promise<void> {
  for await (const chunk of stream.pipeThrough(new TextDecoderStream())) take(chunk);
}
