// deno-lint-ignore-file no-console -- the output is this program's purpose
// `deno task bench:startup`: the cost of importing the library, as CPU time and resident memory in addition to those of a
// program without imports. Each figure is from a new process; all programs are started in each round.

import { parseArgs } from "@std/cli";
import { format, median, replaceBetween, table } from "./report.ts";

const PAGE = "docs/PERFORMANCE.md";
const ENTRIES = ["client/mod.ts", "server/mod.ts", "mod.ts"] as const;
const USAGE = `Usage: deno task bench:startup [options]

  --rounds N     Starts of each program (30)
  --against DIR  Compare with another checkout, started in the same rounds
  --write        Insert the table into ${PAGE}
`;

/** The cost of a program, or of an import. */
interface Cost {
  /** User and system time of the process, in ms. */
  readonly cpu: number;
  /** Resident memory at the end, in MiB. */
  readonly memory: number;
}

/** The costs of the imports in one checkout, a figure per round. */
class Checkout {
  readonly #directory: string;
  readonly #costs = new Map<string, Cost[]>(ENTRIES.map((entry) => [entry, []]));

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Starts every program without measuring: Deno caches compiled code after a few starts. */
  async warmUp(): Promise<void> {
    for (const entry of [...ENTRIES, ...ENTRIES, ...ENTRIES]) {
      await start(this.#directory, `import "./${entry}";`);
    }
  }

  async round(): Promise<void> {
    const empty = await start(this.#directory, "");
    for (const [entry, costs] of this.#costs) {
      const { cpu, memory } = await start(this.#directory, `import "./${entry}";`);
      costs.push({ cpu: cpu - empty.cpu, memory: memory - empty.memory });
    }
  }

  /** The medians of all rounds. */
  cost(entry: string): Cost {
    const costs = this.#costs.get(entry)!;
    return { cpu: median(costs.map(({ cpu }) => cpu)), memory: median(costs.map(({ memory }) => memory)) };
  }
}

/**
 * Runs a program without permissions in `directory`.
 *
 * @throws {Error} If it fails, with its output on stderr
 */
async function start(directory: string, program: string): Promise<Cost> {
  // Deno cannot measure the CPU time of a child process; Bash can.
  const timed = 'TIMEFORMAT="%U %S"; time deno run --no-prompt --ext=ts - <<< "$1"';
  const { success, stdout, stderr } = await new Deno.Command("bash", {
    args: ["-c", timed, "bash", `${program} console.log(Deno.memoryUsage().rss);`],
    cwd: directory,
    env: { NO_COLOR: "1" },
  }).output();
  const [rss, times] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes).trim());
  if (!success) throw new Error(`Cannot start ${JSON.stringify(program)} in ${directory}: ${times}`);
  const [user, system] = times!.split("\n").at(-1)!.split(" ").map(Number);
  return { cpu: (user! + system!) * 1_000, memory: Number(rss) / 2 ** 20 };
}

async function main(args: readonly string[]): Promise<void> {
  const { rounds, against, write, help, _: rest } = parseArgs([...args], {
    string: ["rounds", "against"],
    boolean: ["write", "help"],
    default: { rounds: "30" },
  });
  if (help || rest.length > 0 || !(Number(rounds) >= 1) || write && against) {
    console.error(USAGE);
    Deno.exit(help ? 0 : 2);
  }
  const here = new Checkout(new URL("..", import.meta.url).pathname);
  const other = against ? new Checkout(against) : undefined;
  await here.warmUp();
  await other?.warmUp();
  for (let round = 0; round < Number(rounds); round++) {
    await here.round();
    await other?.round();
  }
  const rows = ENTRIES.map((entry) => {
    const { cpu, memory } = here.cost(entry);
    const figures = [`\`${entry}\``, format(cpu), format(memory)];
    if (other === undefined) return figures;
    const before = other.cost(entry);
    const ratios = [cpu / before.cpu, memory / before.memory].map((ratio) => ratio.toFixed(2));
    return [...figures, format(before.cpu), format(before.memory), ...ratios];
  });
  const heads = ["imported", "CPU ms", "MiB"];
  if (other !== undefined) heads.push("against: CPU ms", "MiB", "CPU ratio", "MiB ratio");
  const text = table(heads, rows);
  console.log(text);
  if (write) await Deno.writeTextFile(PAGE, replaceBetween(await Deno.readTextFile(PAGE), "startup", text));
}

await main(Deno.args);
