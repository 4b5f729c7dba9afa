// The door with real clients of the Connect protocol: connect-node over both versions of HTTP, and connect-web, in Node.

import { assertEquals } from "@std/assert";
import { Program } from "../support/node.ts";
import { until } from "../support/waiting.ts";
import { ProbeDoor } from "./probe.ts";

const node = await Program.node();

/** Installs the packages into a folder of their own; undefined if the registry cannot be reached. */
async function install(): Promise<string | undefined> {
  if (!node.present) return undefined;
  const folder = await Deno.makeTempDir();
  for (const file of ["package.json", "client.mjs"]) {
    await Deno.copyFile(new URL(`connect/${file}`, import.meta.url), `${folder}/${file}`);
  }
  const command = new Deno.Command("deno", {
    args: ["install", "--quiet", "--no-lock", "--node-modules-dir=auto"],
    cwd: folder,
    stdout: "null",
    stderr: "null",
  });
  if ((await command.output()).success) return folder;
  await Deno.remove(folder, { recursive: true });
  return undefined;
}

const folder = await install();
globalThis.addEventListener("unload", () => {
  if (folder !== undefined) Deno.removeSync(folder, { recursive: true });
});
const skipped = node.present && folder === undefined
  ? " [SKIPPED: npm's registry cannot be reached]"
  : node.skipped;

async function results(kind: string): Promise<Record<string, unknown>> {
  await using door = new ProbeDoor();
  const { stdout, stderr, success } = await new Deno.Command("node", {
    args: ["client.mjs", door.url, kind],
    cwd: folder,
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  // Whatever the client has canceled, left or given up is not in flight.
  await until(() => door.server.stats().inFlight === 0, "the end of all calls");
  return JSON.parse(new TextDecoder().decode(stdout));
}

const UNARY = {
  sum: { sum: 3 },
  defaults: { sum: 2 },
  get: { sum: 3 },
  echo: { n: 1.5, list: [true, null, "é"] },
  nothing: {},
  failure: ["NotFound", "nothing there"],
  unknown: ["DataLoss", ""],
  details: { why: ["x", 1] },
  meta: { answer: { in: "one", inBin: "AQI=" }, header: "1", trailer: ["2", "AQI"] },
  deadline: "DeadlineExceeded",
  abort: "Canceled",
};
const ANSWERS = {
  count: [1, 2, 3],
  countFails: ["Aborted", "failed on purpose"],
  countRefused: "PermissionDenied",
  countTrailer: "2",
  left: 1,
  countDeadline: "DeadlineExceeded",
};
const ARGUMENTS = {
  total: { total: 6, items: 3 },
  totalNone: { total: 0, items: 0 },
  chat: [1, 2, 3],
  totalAborted: "Canceled",
};

for (
  const [kind, name, expected] of [
    ["http1", "connect-node over HTTP/1.1", { ...UNARY, ...ANSWERS, ...ARGUMENTS }],
    ["http2", "connect-node over HTTP/2", { ...UNARY, ...ANSWERS, ...ARGUMENTS }],
    // It sends no streams.
    ["web", "connect-web", { ...UNARY, ...ANSWERS }],
  ] as const
) {
  Deno.test({
    name: `web with Connect: calls and streams of ${name}${skipped}`,
    ignore: skipped !== "",
    fn: async () => assertEquals(await results(kind), expected),
  });
}
