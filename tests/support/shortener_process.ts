// Nodes of the example in examples/shortener as processes of their own, with the permissions that its task gives them.

import { until } from "./waiting.ts";

const MAIN = new URL("../../examples/shortener/main.ts", import.meta.url).href;

/** A folder for the master's file. */
export async function folder() {
  const path = await Deno.makeTempDir({ dir: "/tmp", prefix: "shortener-" });
  return { file: `${path}/urls.db`, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

/**
 * A port for what is killed and comes back: a free one below those that the system hands out, so that no other process gets it
 * meanwhile.
 */
export function lastingPort(): string {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      return String(port);
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}

function command(args: readonly string[]): Deno.Command {
  return new Deno.Command("deno", {
    args: ["run", "--quiet", "-P=shortener", MAIN, ...args],
    cwd: new URL("../..", import.meta.url),
    stdout: "piped",
    stderr: "piped",
  });
}

/** Runs one to its end. */
export async function run(...args: string[]): Promise<{ code: number; out: string; error: string }> {
  const { code, stdout, stderr } = await command(args).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), error: decoder.decode(stderr) };
}

/** A node that listens, or several that were started by one. */
export class Node implements AsyncDisposable {
  /** What it has printed. */
  lines = "";
  readonly #process: Deno.ChildProcess;
  readonly #reading: Promise<unknown>;

  private constructor(process: Deno.ChildProcess) {
    this.#process = process;
    this.#reading = Promise.all([process.stdout, process.stderr].map(async (stream) => {
      for await (const text of stream.pipeThrough(new TextDecoderStream())) this.lines += text;
    }));
  }

  /** Starts one, and waits until it has printed where it listens. */
  static async start(...args: string[]): Promise<Node> {
    const node = new Node(command(args).spawn());
    let ended = false;
    node.#reading.then(() => ended = true);
    await until(() => Promise.resolve(ended || / at http.*, pid/.test(node.lines)), "a node to listen");
    if (ended) throw new Error(`It ended: ${node.lines}`);
    return node;
  }

  /** Where its front is, without a slash at the end. */
  get url(): string {
    return /at (http:\/\/[^/]+)\//.exec(this.lines)![1]!;
  }

  /** Where a master listens for replicas. */
  get rpc(): string {
    return /RPC at tcp@([^,]+)/.exec(this.lines)![1]!;
  }

  /** Sends it a signal. */
  tell(signal: Deno.Signal): void {
    this.#process.kill(signal);
  }

  /** Ends it, and waits until it has. */
  async end(signal: Deno.Signal): Promise<Deno.CommandStatus> {
    this.tell(signal);
    const [status] = await Promise.all([this.#process.status, this.#reading]);
    return status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await Promise.all([this.#process.status, this.#reading]);
  }
}

/** Asks a node to keep a URL. Returns the key, or undefined if it answered 503. */
export async function put(url: string, long: string): Promise<string | undefined> {
  const response = await fetch(`${url}/add`, { method: "POST", body: new URLSearchParams({ url: long }) });
  const text = (await response.text()).trim();
  if (response.status === 503) return undefined;
  if (response.status !== 201) throw new Error(`${response.status}: ${text}`);
  return text.slice(text.lastIndexOf("/") + 1);
}

/** Asks a node for a key: where it leads to, or the status. */
export async function follow(url: string, key: string): Promise<string | number> {
  const response = await fetch(`${url}/${key}`, { redirect: "manual" });
  await response.body?.cancel();
  return response.headers.get("location") ?? response.status;
}
