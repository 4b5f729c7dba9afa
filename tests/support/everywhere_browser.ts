// everywhere.ts in a browser, in a page or in a worker, bundled by everywhere_test.ts.

import { everywhere, notDialled } from "./everywhere.ts";

const { host, searchParams } = new URL(import.meta.url);
const where = { host, registry: searchParams.get("registry")! };
let report: unknown;
try {
  report = {
    deno: typeof Deno !== "undefined",
    worker: !("document" in globalThis),
    calls: await everywhere(where),
    notDialled: await notDialled(where),
  };
} catch (error) {
  report = { error: `${error} ${(error as Error).stack}` };
}
await fetch("/report", { method: "POST", body: JSON.stringify(report) });
