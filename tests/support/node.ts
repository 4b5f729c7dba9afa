// Node, from version 20 on, and Bun. Tests with a program that is missing are skipped, and their names say so.

const OLDEST = 20;
/** From this version on Node has WebSockets without a flag. */
const WITH_WEBSOCKET = 22;

/** Runs a module with a program until it ends by itself. */
async function run(
  command: string,
  script: string,
  args: readonly string[],
): Promise<{ code: number; stdout: string; stderr: string }> {
  const path = await Deno.makeTempFile({ suffix: ".mjs" });
  try {
    await Deno.writeTextFile(path, script);
    const [program, ...flags] = command.split(" ");
    const output = await new Deno.Command(program!, { args: [...flags, path, ...args] }).output();
    const [stdout, stderr] = [output.stdout, output.stderr].map((bytes) => new TextDecoder().decode(bytes));
    return { code: output.code, stdout: stdout!, stderr: stderr! };
  } finally {
    await Deno.remove(path);
  }
}

/** The first line that a program prints for `--version`; undefined if it cannot be run. */
async function versionOf(program: string): Promise<string | undefined> {
  try {
    const { stdout } = await new Deno.Command(program, { args: ["--version"], stderr: "null" }).output();
    return new TextDecoder().decode(stdout);
  } catch {
    return undefined;
  }
}

/** Node, or its absence. */
export class Node {
  readonly #major: number;

  private constructor(major: number) {
    this.#major = major;
  }

  static async find(): Promise<Node> {
    return new Node(Number(/^v(\d+)/.exec(await versionOf("node") ?? "v0")?.[1]));
  }

  /** Whether it is installed and new enough. */
  get present(): boolean {
    return this.#major >= OLDEST;
  }

  /** For the names of tests. */
  get skipped(): string {
    return this.present ? "" : ` [SKIPPED: node ${OLDEST} or later cannot be run]`;
  }

  /** Runs a module until it ends by itself. */
  run(
    script: string,
    args: readonly string[],
    flags: readonly string[] = this.#major < WITH_WEBSOCKET ? ["--experimental-websocket"] : [],
  ): Promise<{ code: number; stdout: string; stderr: string }> {
    return run(["node", ...flags].join(" "), script, args);
  }
}

/** Bun, or its absence. */
export class Bun {
  readonly present: boolean;

  private constructor(present: boolean) {
    this.present = present;
  }

  static async find(): Promise<Bun> {
    return new Bun(await versionOf("bun") !== undefined);
  }

  /** For the names of tests. */
  get skipped(): string {
    return this.present ? "" : " [SKIPPED: bun cannot be run]";
  }

  /** Runs a module until it ends by itself. */
  run(script: string, args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    return run("bun", script, args);
  }
}
