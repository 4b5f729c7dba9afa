// The package for npm: what `deno pack` makes of the sources, with what npm knows and JSR does not. Used by npm_main.ts.

import { readConfig, ROOT } from "./package.ts";

/** What the client needs; servers need Node 22. */
const ENGINES = { node: ">=20.16" };

/** Runs a program, and returns what it prints. */
export async function run(command: readonly string[], cwd: string | URL = ROOT): Promise<string> {
  const [program, ...args] = command;
  const output = await new Deno.Command(program!, { args, cwd, env: { NO_COLOR: "1" } }).output();
  const [stdout, stderr] = [output.stdout, output.stderr].map((bytes) => new TextDecoder().decode(bytes));
  if (!output.success) throw new Error(`${command.join(" ").slice(0, 200)} failed:\n${stdout}${stderr}`);
  return stdout!;
}

/**
 * Packs the package.
 *
 * @param folder Where to put it
 * @returns The path of the tarball
 */
export async function packForNpm(folder: string): Promise<string> {
  const packed = `${folder}/packed.tgz`;
  await run(["deno", "pack", "--quiet", "--allow-dirty", "--no-source-maps", "-o", packed]);
  await run(["tar", "-xzf", packed], folder);
  await Deno.remove(packed);
  const path = `${folder}/package/package.json`;
  const { description } = await readConfig();
  const config = JSON.parse(await Deno.readTextFile(path));
  const client = config.exports["./client"];
  const { import: browser } = config.exports["./browser"];
  // Bundlers for browsers and Workers leave sockets out by themselves.
  config.exports["./client"] = { types: client.types, browser, workerd: browser, default: client.default };
  const done = { ...config, description, engines: ENGINES, sideEffects: false };
  await Deno.writeTextFile(path, `${JSON.stringify(done, undefined, 2)}\n`);
  const name = (await run(["npm", "pack", "--silent", "--pack-destination", folder], `${folder}/package`))
    .trim();
  return `${folder}/${name}`;
}
