// everywhere.ts in Node, bundled by everywhere_test.ts. Arguments: the host, the registry; prints what it saw.

import { connect } from "../../client/mod.ts";
import { everywhere, notDialled } from "./everywhere.ts";

declare const process: { argv: string[]; exitCode: number };

const [, , host = "", registry = ""] = process.argv;
const where = { host, registry };
const hasSocket = typeof WebSocket !== "undefined";
const seen = hasSocket
  ? {
    deno: typeof Deno !== "undefined",
    calls: await everywhere(where),
    notDialled: await notDialled(where),
  }
  : { missing: await connect(`ws@${host}`).catch((error) => error.message) };
// deno-lint-ignore no-console -- how it reports
console.log(JSON.stringify(seen));
