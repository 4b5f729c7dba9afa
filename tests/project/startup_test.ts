// What importing the library costs a program: nothing is loaded for it that takes long and that it may never use.

import { assertEquals } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { deno, ROOT } from "../support/package.ts";

/** Deno loads much at the first access of these: Node's compatibility layer, parts of the web's, the data of languages. */
const COSTLY = [
  "process",
  "Buffer",
  "global",
  "setImmediate",
  "clearImmediate",
  "Intl",
  "ReadableStream",
  "Response",
  "WebSocket",
];

/** Prints which of the costly globals are accessed while a module is imported. */
const PROGRAM = `
const [entry, ...names] = Deno.args;
const accessed = new Set();
for (const name of names) {
  if (!(name in globalThis)) throw new Error("There is no global " + name);
  const { get, value } = Object.getOwnPropertyDescriptor(globalThis, name);
  Object.defineProperty(globalThis, name, {
    configurable: true,
    get() {
      accessed.add(name);
      return get ? get.call(globalThis) : value;
    },
  });
}
await import(entry);
console.log(JSON.stringify([...accessed]));
`;

/** Which of the costly globals are accessed while `entry` is imported. */
async function accessedBy(entry: string): Promise<string[]> {
  const program = `data:text/javascript,${encodeURIComponent(PROGRAM)}`;
  const { stdout } = await deno(
    "run",
    "--no-prompt",
    "--allow-net=127.0.0.1",
    `--allow-read=${ROOT.pathname}`,
    program,
    entry,
    ...COSTLY,
  );
  return JSON.parse(stdout);
}

for (const [name, path] of Object.entries(config.exports)) {
  Deno.test(`startup: importing ${name} accesses no global that takes long to load`, async () => {
    assertEquals(await accessedBy(new URL(path, ROOT).href), []);
  });
}

Deno.test("startup: a server and a client that calls it load little of Node's compatibility layer", async () => {
  const program = `
    import { connect } from "${new URL("client/mod.ts", ROOT)}";
    import { Server } from "${new URL("server/mod.ts", ROOT)}";

    await using server = new Server().register("Arith", { sum: ({ a, b }) => a + b });
    const { address } = await server.listen("tcp@127.0.0.1:0");
    await using client = await connect(address);
    if (await client.call("Arith.sum", { a: 1, b: 2 }) !== 3) throw new Error("wrong sum");`;
  assertEquals(await accessedBy(`data:text/javascript,${encodeURIComponent(program)}`), []);
});

Deno.test("startup: a module that accesses such a global is noticed", async () => {
  assertEquals(await accessedBy("data:text/javascript,globalThis.process; new Intl.NumberFormat()"), [
    "process",
    "Intl",
  ]);
});
