// Programs that run JavaScript: Node from version 20 on, and Bun. Tests with a program that is missing are skipped, and their names say
// so. runtimes_main.ts runs other versions.

const OLDEST_NODE = 20;
/** Node from this version on can serve, and has WebSockets without a flag. */
const SERVING_NODE = 22;

/** What a program printed until it ended. */
export interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program that runs JavaScript, or its absence. */
export class Program {
  readonly #command: readonly string[];
  readonly #oldest: string;
  /** Whether it is installed and new enough. */
  readonly present: boolean;

  /** @param command The program and its arguments before the script */
  constructor(command: readonly string[], present = true, oldest = command.join(" ")) {
    this.#command = command;
    this.present = present;
    this.#oldest = oldest;
  }

  /** Node as installed. */
  static async node(oldest = OLDEST_NODE): Promise<Program> {
    const version = Number(/^v(\d+)/.exec(await versionOf("node"))?.[1] ?? 0);
    const flags = version < SERVING_NODE ? ["--experimental-websocket"] : [];
    return new Program(["node", ...flags], version >= oldest, `node ${oldest} or later`);
  }

  /** Node as installed, if it can serve. */
  static servingNode(): Promise<Program> {
    return Program.node(SERVING_NODE);
  }

  /** Bun as installed. */
  static async bun(): Promise<Program> {
    return new Program(["bun"], await versionOf("bun") !== "");
  }

  /** For the names of tests. */
  get skipped(): string {
    return this.present ? "" : ` [SKIPPED: ${this.#oldest} cannot be run]`;
  }

  /** Runs a module until it ends by itself. */
  async run(script: string, args: readonly string[]): Promise<Output> {
    return await this.#withFile(script, async (path) => {
      const { code, stdout, stderr } = await this.#commandFor(path, args, "null").output();
      return { code, stdout: text(stdout), stderr: text(stderr) };
    });
  }

  /**
   * Runs a module that prints a line when it serves, and serves until its input ends.
   *
   * @param use Receives that line
   * @returns All that the module printed
   */
  async serve(
    script: string,
    args: readonly string[],
    use: (line: string) => Promise<void>,
  ): Promise<Output> {
    return await this.#withFile(script, async (path) => {
      const process = this.#commandFor(path, args, "piped").spawn();
      const stderr = new Response(process.stderr).text();
      let stdout = "";
      let used = false;
      for await (const part of process.stdout.pipeThrough(new TextDecoderStream())) {
        stdout += part;
        const end = stdout.indexOf("\n");
        if (used || end < 0) continue;
        used = true;
        try {
          await use(stdout.slice(0, end));
        } finally {
          await process.stdin.close();
        }
      }
      if (!used) await process.stdin.close();
      return { code: (await process.status).code, stdout, stderr: await stderr };
    });
  }

  #commandFor(path: string, args: readonly string[], stdin: "null" | "piped"): Deno.Command {
    const [program, ...flags] = this.#command;
    return new Deno.Command(program!, {
      args: [...flags, path, ...args],
      stdin,
      stdout: "piped",
      stderr: "piped",
    });
  }

  async #withFile<T>(script: string, use: (path: string) => Promise<T>): Promise<T> {
    const path = await Deno.makeTempFile({ suffix: ".mjs" });
    try {
      await Deno.writeTextFile(path, script);
      return await use(path);
    } finally {
      await Deno.remove(path);
    }
  }
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** What a program prints for `--version`; empty if it cannot be run. */
async function versionOf(program: string): Promise<string> {
  try {
    const { stdout } = await new Deno.Command(program, { args: ["--version"], stderr: "null" }).output();
    return text(stdout);
  } catch {
    return "";
  }
}
