// Child processes that talk in lines, each pinned to a core where the system has `taskset`.

/** The cores that processes are pinned to: one for both sides, or one each. Empty = not pinned. */
export interface Cores {
  readonly shared: readonly number[];
  readonly server: readonly number[];
  readonly client: readonly number[];
}

/** How much of what a process said on stderr is kept. */
const KEPT_ERRORS = 4_000;

/** Whether a command runs and succeeds. Never rejects. */
export async function succeeds(command: string, args: readonly string[]): Promise<boolean> {
  try {
    const { success } = await new Deno.Command(command, { args: [...args], stdout: "null", stderr: "null" })
      .output();
    return success;
  } catch {
    return false;
  }
}

/** The cores that this process may use, last ones first, split up for both sides. */
export async function findCores(): Promise<Cores> {
  let allowed: number[] = [];
  try {
    const { stdout } = await new Deno.Command("taskset", { args: ["-cp", String(Deno.pid)] }).output();
    allowed = parseCores(new TextDecoder().decode(stdout).split(":").at(-1)!.trim());
  } catch {
    // There is none, for one outside Linux.
  }
  const [client, server] = allowed.toReversed();
  if (client === undefined) return { shared: [], server: [], client: [] };
  return { shared: [client], server: [server ?? client], client: [client] };
}

/** Reads a list such as `0,2-5`; empty if it is none. */
export function parseCores(list: string): number[] {
  if (!/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(list)) return [];
  return list.split(",").flatMap((part) => {
    const [first, last = first] = part.split("-").map(Number);
    return Array.from({ length: last! - first! + 1 }, (_, i) => first! + i);
  });
}

/** A process that says and is told things, a line of JSON each. */
export class Process implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #out: ReadableStreamDefaultReader<string>;
  readonly #in: WritableStreamDefaultWriter<Uint8Array>;
  readonly #errors: Promise<string>;
  #rest = "";

  /**
   * @param command A program and its arguments
   * @param cores Where it may run; empty = anywhere
   * @param env Variables that it gets beside those of this process
   */
  constructor(
    command: readonly string[],
    cores: readonly number[],
    env: Readonly<Record<string, string>> = {},
  ) {
    const pin = cores.length > 0 ? ["taskset", "-c", cores.join(",")] : [];
    const [program, ...args] = [...pin, ...command];
    this.#child = new Deno.Command(program!, {
      args,
      env: { NO_COLOR: "1", ...env },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#out = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    this.#in = this.#child.stdin.getWriter();
    this.#errors = lastOf(this.#child.stderr);
  }

  /**
   * The next thing that it says.
   *
   * @throws {Error} If it ends instead, with what it said on stderr
   */
  async next<T>(): Promise<T> {
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#out.read();
      if (done) throw new Error(firstLines(await this.#errors) || "it ended without a word");
      this.#rest += value;
    }
    const end = this.#rest.indexOf("\n");
    const line = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end + 1);
    return JSON.parse(line);
  }

  /** Sends it an empty line. */
  async nudge(): Promise<void> {
    await this.#in.write(new Uint8Array([10]));
  }

  /** Nudges it, and waits for its answer. */
  async ask<T>(): Promise<T> {
    await this.nudge();
    return await this.next();
  }

  /** Ends it at once. */
  kill(): void {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await this.#in.close().catch(() => {});
    await this.#out.cancel();
    await this.#errors;
    await this.#child.status;
  }
}

async function lastOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  let text = "";
  for await (const chunk of stream.pipeThrough(new TextDecoderStream())) {
    text = (text + chunk).slice(-KEPT_ERRORS);
  }
  return text;
}

function firstLines(text: string): string {
  return text.trim().split("\n").slice(0, 3).join(" ").replace(/\s+/g, " ");
}
