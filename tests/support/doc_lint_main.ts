// Lints the documentation of every entry point, as deno.json lists them. Run by `deno task ok`.

import { entryPoints } from "./package.ts";

const { code } = await new Deno.Command("deno", {
  args: ["doc", "--lint", ...await entryPoints()],
  cwd: new URL("../..", import.meta.url),
}).spawn().status;
Deno.exit(code);
