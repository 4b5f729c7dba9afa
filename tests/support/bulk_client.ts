// bulk.ts in a browser or in Node, bundled by websocket_real_test.ts. A browser is given the address in the script's own,
// and posts its report; Node is given it as an argument, and prints.

import { bulk } from "./bulk.ts";

declare const process: { argv: string[] };

const address = new URL(import.meta.url).searchParams.get("address");
let report: unknown;
try {
  report = await bulk(address ?? process.argv[2]!);
} catch (error) {
  report = String(error);
}
const text = JSON.stringify(report);
if (address !== null) await fetch("/report", { method: "POST", body: text });
// deno-lint-ignore no-console -- how it reports
else console.log(text);
