// everywhere.ts in a browser, in a page or in a worker, bundled by everywhere_real_test.ts.

import { connect } from "../../client/browser.ts";
import { Everywhere, notDialed } from "./everywhere.ts";

const { searchParams } = new URL(import.meta.url);
const where = JSON.parse(searchParams.get("where")!);
let report: unknown;
try {
  report = {
    deno: typeof Deno !== "undefined",
    worker: !("document" in globalThis),
    calls: await new Everywhere(connect, where, "ws").run(),
    notDialed: await notDialed(connect, where),
  };
} catch (error) {
  report = { error: `${error} ${(error as Error).stack}` };
}
await fetch("/report", { method: "POST", body: JSON.stringify(report) });
