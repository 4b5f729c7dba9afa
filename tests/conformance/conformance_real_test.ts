// All conformance cases, in both roles, against the implementations in Python and Go, which were written from
// docs/PROTOCOL.md alone. They are to pass everything that they say they have.

import { assert, assertEquals } from "@std/assert";
import { linesOf } from "../../conformance/line_stream.ts";
import { ClientProcess } from "../../conformance/process.ts";
import { checkClient, checkServer } from "../../conformance/run.ts";
import { connect, Server } from "../../mod.ts";
import { assertPassed } from "../support/conformance_outcomes.ts";
import { installed } from "../support/programs.ts";
import { portOf } from "../support/wire_harness.ts";

const FOREIGN = new URL("../../examples/foreign/", import.meta.url).pathname;
const GO = `${FOREIGN}go`;

/** An implementation in another language. */
interface Language {
  readonly name: string;
  /** What is missing to run it, or empty. */
  readonly missing: string;
  /** The commands of its server and its client, for a shell. */
  readonly server: () => string;
  readonly client: () => string;
  /** Cases whose features its client does not have. */
  readonly skipped: readonly string[];
}

const hasPython = await installed("python3", ["-c", "import sys; sys.exit(sys.version_info < (3, 11))"]);
const hasGo = await installed("go");
/** How long a case waits, in ms: only one that fails does. Python decodes a body of 1.4 MB meanwhile, on a busy machine. */
const patience = 60_000;
/** Where the programs in Go are built. */
let built: string;

const LANGUAGES: readonly Language[] = [{
  name: "Python",
  missing: hasPython ? "" : "python3 3.11 or later",
  server: () => `python3 '${FOREIGN}server.py'`,
  client: () => `python3 '${FOREIGN}client.py'`,
  skipped: ["limit/in-flight"],
}, {
  name: "Go",
  missing: hasGo ? "" : "go",
  server: () => `'${built}/server'`,
  client: () => `'${built}/client'`,
  skipped: [],
}];

/** Runs a command by a shell, and returns what it prints. */
async function shell(command: string): Promise<string> {
  const output = await new Deno.Command("sh", { args: ["-c", command] }).output();
  const [stdout, stderr] = [output.stdout, output.stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert(output.success, `${command}: ${stdout}${stderr}`);
  return stdout!;
}

if (hasGo) {
  Deno.test.beforeAll(async () => {
    built = await Deno.makeTempDir();
    await shell(`cd '${GO}' && go build -o '${built}/' ./cmd/...`);
  });
  Deno.test.afterAll(async () => await Deno.remove(built, { recursive: true }));
}

/** A server in another language, while it lasts. */
class ForeignServer implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #stderr: Promise<string>;
  readonly #lines: AsyncGenerator<string>;

  constructor({ server }: Language) {
    this.#process = new Deno.Command("sh", {
      args: ["-c", `exec ${server()}`],
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#stderr = new Response(this.#process.stderr).text();
    this.#lines = linesOf(this.#process.stdout);
  }

  async address(): Promise<string> {
    const { value, done } = await this.#lines.next();
    return done ? await this.#stderr : value;
  }

  /** Ends it, and returns what it wrote to standard error. */
  async end(): Promise<string> {
    await this[Symbol.asyncDispose]();
    return await this.#stderr;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#process.status;
    await this.#lines.return(undefined);
    await this.#stderr;
  }
}

for (const language of LANGUAGES) {
  const { name, missing, client, skipped } = language;
  const test = (title: string, fn: () => Promise<void>) =>
    Deno.test({
      name: missing === "" ? title : `${title} [SKIPPED: ${missing} cannot be run]`,
      ignore: missing !== "",
      fn,
    });

  test(`conformance: the server in ${name} passes every case`, async () => {
    await using server = new ForeignServer(language);
    assertPassed(await checkServer("127.0.0.1", portOf(await server.address()), { patience }), "server", []);
    assertEquals(await server.end(), "");
  });

  const exception = skipped.length > 0 ? ", except for waiting at maxInFlight" : "";
  test(`conformance: the client in ${name} passes every case${exception}`, async () => {
    await using running = await ClientProcess.start(client());
    assertPassed(await checkClient(running, { patience }), "client", skipped);
  });

  test(`conformance: a client in ${name} calls a server of this library`, async () => {
    await using server = new Server().register("Arith", {
      sum: ({ a, b }: { a: number; b: number }) => a + b,
    });
    const { address } = await server.listen("tcp@127.0.0.1:0");
    assertEquals(await shell(`${client()} ${address} Arith.sum '{"a": 1, "b": 2}'`), "3\n");
  });

  test(`conformance: a client of this library calls a server in ${name}, and is called back`, async () => {
    await using server = new ForeignServer(language);
    await using client = await connect(await server.address(), {
      services: { Client: { double: (n: number) => 2 * n } },
    });
    const values = { a: [1, new Date(0), 2n ** 70n, new Set([1]), new Map([[1, 2]]), new Uint8Array(3)] };
    assertEquals(await client.call("Conformance.echo", values), values);
    assertEquals(
      await Array.fromAsync(client.stream("Conformance.count", { to: 1_000 })).then((all) => all.length),
      1_000,
    );
    assertEquals(await client.call("Conformance.callBack", { method: "Client.double", args: 21 }), 42);
  });
}

Deno.test({
  name: `examples/foreign/go: is formatted, passes go vet and its own tests${
    hasGo ? "" : " [SKIPPED: go cannot be run]"
  }`,
  ignore: !hasGo,
  async fn() {
    await shell(`cd '${GO}' && go vet ./... && go test ./...`);
    assertEquals(await shell(`cd '${GO}' && "$(go env GOROOT)/bin/gofmt" -l .`), "");
  },
});
