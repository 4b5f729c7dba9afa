// Whether a tag may be published: it is the version of deno.json, and the changelog has it. Run by publish.yml.

import { readConfig, ROOT } from "./package.ts";
import { refusalOfTag } from "./release.ts";

const { version } = await readConfig();
const refusal = refusalOfTag(
  Deno.args[0] ?? "",
  version,
  await Deno.readTextFile(new URL("CHANGELOG.md", ROOT)),
);
if (refusal !== undefined) {
  // deno-lint-ignore no-console -- this is a program, and this is its output
  console.error(`release: ${refusal}`);
  Deno.exit(1);
}
