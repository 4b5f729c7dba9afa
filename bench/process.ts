// Child processes controlled by lines of JSON, pinned to cores where `taskset` is available.

/** The cores that processes are pinned to: a shared one, or one for each side. Empty = not pinned. */
export interface Cores {
  readonly shared: readonly number[];
  readonly server: readonly number[];
  readonly client: readonly number[];
}

/** How many characters of a process's stderr are kept. */
const KEPT_ERRORS = 4_000;

/** Whether a command runs successfully. Never rejects. */
export async function succeeds(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<boolean> {
  try {
    const options: Deno.CommandOptions = { args: [...args], env, stdout: "null", stderr: "null" };
    const { success } = await new Deno.Command(command, options).output();
    return success;
  } catch {
    return false;
  }
}

/** The cores that this process may use, last ones first, assigned to the two sides. */
export async function findCores(): Promise<Cores> {
  let allowed: number[] = [];
  try {
    const { stdout } = await new Deno.Command("taskset", { args: ["-cp", String(Deno.pid)] }).output();
    allowed = parseCores(new TextDecoder().decode(stdout).split(":").at(-1)!.trim());
  } catch {
    // `taskset` is missing, for example outside Linux.
  }
  const [client, server] = allowed.toReversed();
  if (client === undefined) return { shared: [], server: [], client: [] };
  return { shared: [client], server: [server ?? client], client: [client] };
}

/** Parses a list such as `0,2-5`; empty if it is malformed. */
export function parseCores(list: string): number[] {
  if (!/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(list)) return [];
  return list.split(",").flatMap((part) => {
    const [first, last = first] = part.split("-").map(Number);
    return Array.from({ length: last! - first! + 1 }, (_, i) => first! + i);
  });
}

/** A process that exchanges lines of JSON. */
export class Process implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #out: ReadableStreamDefaultReader<string>;
  readonly #in: WritableStreamDefaultWriter<Uint8Array>;
  readonly #errors: Promise<string>;
  #buffer = "";

  /**
   * @param command A program and its arguments
   * @param cores The cores it may use; empty = all
   * @param env Environment variables in addition to those of this process
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

  /** Its number; it stays that of programs that the command executes in its place. */
  get pid(): number {
    return this.#child.pid;
  }

  /**
   * The next line that it prints, parsed.
   *
   * @throws {Error} If it ends instead, with its output on stderr
   */
  async next<T>(): Promise<T> {
    while (!this.#buffer.includes("\n")) {
      const { value, done } = await this.#out.read();
      if (done) throw new Error(firstLines(await this.#errors) || "it ended without output");
      this.#buffer += value;
    }
    const end = this.#buffer.indexOf("\n");
    const line = this.#buffer.slice(0, end);
    this.#buffer = this.#buffer.slice(end + 1);
    return JSON.parse(line);
  }

  /** Sends an empty line. */
  async sendLine(): Promise<void> {
    await this.#in.write(new Uint8Array([10]));
  }

  /** Sends an empty line, and returns the response. */
  async request<T>(): Promise<T> {
    await this.sendLine();
    return await this.next();
  }

  /** Kills the process. */
  kill(): void {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has already ended.
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
