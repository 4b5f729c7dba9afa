// The package as it would be published: what deno.json says, what `deno publish` would take, and what `deno info` and
// `deno doc` know of it.

/** The folder that is published. */
export const ROOT: URL = new URL("../..", import.meta.url);

/** What deno.json says of the package. */
export interface Config {
  version: string;
  description: string;
  exports: Record<string, string>;
  imports: Record<string, string>;
  tasks: Record<string, { command: string }>;
  permissions: Record<string, unknown>;
  lock: unknown;
}

export async function readConfig(): Promise<Config> {
  return JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
}

/** The files that users import from, such as `./mod.ts`. */
export async function entryPoints(): Promise<string[]> {
  return Object.values((await readConfig()).exports);
}

/** Runs Deno in the package's folder. */
export async function deno(...args: string[]): Promise<{ success: boolean; stdout: string; stderr: string }> {
  const env = { NO_COLOR: "1" };
  const output = await new Deno.Command("deno", { args, cwd: ROOT, env }).output();
  const [stdout, stderr] = [output.stdout, output.stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { success: output.success, stdout: stdout!, stderr: stderr! };
}

/** A module, and what it imports. */
export interface Module {
  readonly specifier: string;
  readonly dependencies?: readonly {
    readonly specifier: string;
    readonly code?: { readonly specifier?: string };
    readonly type?: { readonly specifier?: string };
  }[];
}

/** The modules of the package that files import, themselves included, by their path in it. */
export async function modulesOf(files: readonly string[]): Promise<Map<string, Module>> {
  const modules = new Map<string, Module>();
  for (const file of files) {
    const { stdout } = await deno("info", "--json", file);
    for (const module of JSON.parse(stdout).modules as Module[]) {
      const path = pathOf(module.specifier);
      if (path !== undefined && !path.startsWith("links/")) modules.set(path, module);
    }
  }
  return modules;
}

/** Where a module is in the package; undefined if it is not from it. */
export function pathOf(specifier: string): string | undefined {
  return specifier.startsWith(ROOT.href) ? specifier.slice(ROOT.href.length) : undefined;
}
