// Packs the package for npm, installs it into a project, checks its types with several versions of TypeScript, and runs it as an ES module
// and from CommonJS in several runtimes, all of them from npm. Arguments: a folder for the tarball, if it is to be kept.

import { packForNpm, run } from "./npm_package.ts";

const RUNTIMES = ["node@20", "node@22", "node@24", "node@26", "bun@1.4.5"];
const COMPILERS = ["typescript@5.9", "typescript@6", "typescript@7"];

const CLIENT = `
async function main(): Promise<void> {
  const client: Client = await connect(process.argv[2]!);
  const greeting = await client.call<string>("Greeter.greet", "Ada");
  const items: number[] = [];
  for await (const item of client.stream<number>("Greeter.upTo", 3)) items.push(item);
  await client.close();
  console.log(greeting, items.join());
}
main();
`;
const SERVER = `
async function main(): Promise<void> {
  const registry = new Registry();
  const http = await serveHttp({ port: 0 }, registry.fetch);
  const url = \`http://127.0.0.1:\${http.addr.port}\`;
  const server = new Server().register("Greeter", {
    greet: (name: string) => \`Hello, \${name}!\`,
    *upTo(n: number) {
      for (let i = 1; i <= n; i++) yield i;
    },
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const registration = await announce(url, { address });
  const client: Client = await connect(new RegistryDiscovery(url));
  console.log(await client.call<string>("Greeter.greet", "Ada"));
  await client.close();
  await registration.close();
  await server.close();
  await registry.close();
  await http.shutdown();
}
main();
`;
const CLIENT_IMPORTS = 'import { connect, type Client } from "@troodon/rpc/client";';
const SERVER_IMPORTS =
  'import { announce, connect, Registry, RegistryDiscovery, serveHttp, Server, type Client } from "@troodon/rpc/node";';
const OTHERS = `
import * as balancing from "@troodon/rpc/balancing";
import * as browser from "@troodon/rpc/browser";
import * as codec from "@troodon/rpc/codec";
import * as discovery from "@troodon/rpc/discovery";
import * as registry from "@troodon/rpc/registry";
import * as server from "@troodon/rpc/server";
import * as testing from "@troodon/rpc/testing";
import * as web from "@troodon/rpc/web";
import * as all from "@troodon/rpc";
export const modules: object[] = [balancing, browser, codec, discovery, registry, server, testing, web, all];
`;
const GLOBALS = "declare const process: { argv: string[] };\n";

/** The sources of the project, as ES modules and as CommonJS. */
const SOURCES: Readonly<Record<string, string>> = {
  "client.mts": `${CLIENT_IMPORTS}\n${GLOBALS}${CLIENT}`,
  "client_of.cts": `${CLIENT_IMPORTS}\n${GLOBALS}${CLIENT}`,
  "server.mts": `${SERVER_IMPORTS}\n${SERVER}`,
  "server_of.cts": `${SERVER_IMPORTS}\n${SERVER}`,
  "others.mts": OTHERS,
};

const TSCONFIG = {
  compilerOptions: {
    strict: true,
    exactOptionalPropertyTypes: true,
    module: "nodenext",
    target: "es2022",
    outDir: "out",
    types: [],
    lib: ["es2023", "dom", "dom.iterable", "dom.asynciterable", "esnext.disposable"],
  },
  files: Object.keys(SOURCES),
};

let failures = 0;

async function check(what: string, work: () => Promise<void>): Promise<void> {
  let outcome = "ok";
  try {
    await work();
  } catch (error) {
    failures++;
    outcome = `FAILED\n${(error as Error).message}`;
  }
  // deno-lint-ignore no-console -- this is a program, and this is its output
  console.log(`${what}: ${outcome}`);
}

function expect(actual: string, expected: string): void {
  if (actual.trim() !== expected) throw new Error(`Expected ${expected}, got ${actual}`);
}

/** Runs all programs of the project in a runtime, with a server of this process for its clients. */
async function runAll(runtime: string, project: string, address: string): Promise<void> {
  const program = ["npx", "--yes", runtime];
  for (const file of ["client.mjs", "client_of.cjs"]) {
    expect(await run([...program, `${project}/out/${file}`, address], project), "Hello, Ada! 1,2,3");
  }
  if (runtime === "node@20") return;
  for (const file of ["server.mjs", "server_of.cjs"]) {
    expect(await run([...program, `${project}/out/${file}`], project), "Hello, Ada!");
  }
}

const { Server } = await import("../../server/mod.ts");
await using server = new Server().register("Greeter", {
  greet: (name: string) => `Hello, ${name}!`,
  upTo: (n: number) => Array.from({ length: n }, (_, i) => i + 1),
});
const { address } = await server.listen("tcp@127.0.0.1:0");
const folder = await Deno.makeTempDir();
try {
  const tarball = await packForNpm(folder);
  const [kept] = Deno.args;
  if (kept !== undefined) {
    await Deno.mkdir(kept, { recursive: true });
    await Deno.copyFile(tarball, `${kept}/package.tgz`);
  }
  const project = `${folder}/project`;
  await Deno.mkdir(project);
  await Deno.writeTextFile(`${project}/package.json`, '{ "private": true }');
  await Deno.writeTextFile(`${project}/tsconfig.json`, JSON.stringify(TSCONFIG));
  for (const [name, text] of Object.entries(SOURCES)) await Deno.writeTextFile(`${project}/${name}`, text);
  await check("install", async () => void await run(["npm", "install", "--silent", tarball], project));
  for (const compiler of COMPILERS) {
    await check(
      compiler,
      async () => void await run(["npx", "--yes", "-p", compiler, "tsc", "-p", "."], project),
    );
  }
  for (const runtime of RUNTIMES) await check(runtime, () => runAll(runtime, project, address));
} finally {
  await Deno.remove(folder, { recursive: true });
}
await server.close();
Deno.exit(failures === 0 ? 0 : 1);
