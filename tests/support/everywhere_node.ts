// everywhere.ts in Node, Bun and Deno, bundled. Arguments: where, in JSON, and transports; prints what it saw over each.

import { connect } from "../../client/mod.ts";
import { Everywhere, type Seen, type Where } from "./everywhere.ts";

declare const process: { argv: string[] };

const where = JSON.parse(process.argv[2]!) as Where;
const seen: Record<string, Seen | string> = {};
for (const transport of process.argv.slice(3)) {
  seen[transport] = await new Everywhere(connect, where, transport).run().catch((error) => `${error.stack}`);
}
// deno-lint-ignore no-console -- how it reports
console.log(JSON.stringify(seen));
