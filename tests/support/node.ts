// Node, from version 20 on. Tests with it are skipped, and say so, where it is missing.

const OLDEST = 20;
/** From this version on it has WebSockets without a flag. */
const WITH_WEBSOCKET = 22;

/** Node, or its absence. */
export class Node {
  readonly #major: number;

  private constructor(major: number) {
    this.#major = major;
  }

  static async find(): Promise<Node> {
    try {
      const { stdout } = await new Deno.Command("node", { args: ["--version"], stderr: "null" }).output();
      return new Node(Number(/^v(\d+)/.exec(new TextDecoder().decode(stdout))?.[1]));
    } catch {
      return new Node(0);
    }
  }

  /** Whether there is one that is new enough. */
  get present(): boolean {
    return this.#major >= OLDEST;
  }

  /** For the names of tests. */
  get skipped(): string {
    return this.present ? "" : ` [SKIPPED: node ${OLDEST} or later cannot be run]`;
  }

  /** Runs a module until it ends by itself. */
  async run(
    script: string,
    args: readonly string[],
    flags: readonly string[] = this.#major < WITH_WEBSOCKET ? ["--experimental-websocket"] : [],
  ): Promise<{ code: number; stdout: string; stderr: string }> {
    const path = await Deno.makeTempFile({ suffix: ".mjs" });
    try {
      await Deno.writeTextFile(path, script);
      const output = await new Deno.Command("node", { args: [...flags, path, ...args] }).output();
      const [stdout, stderr] = [output.stdout, output.stderr].map((bytes) => new TextDecoder().decode(bytes));
      return { code: output.code, stdout: stdout!, stderr: stderr! };
    } finally {
      await Deno.remove(path);
    }
  }
}
