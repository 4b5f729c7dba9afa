// All conformance cases, in both roles, against the implementation in Python, which was written from docs/PROTOCOL.md
// alone. It is to pass everything that it says it has.

import { assert, assertEquals } from "@std/assert";
import { linesOf } from "../../conformance/line_stream.ts";
import { ClientProcess } from "../../conformance/process.ts";
import { checkClient, checkServer } from "../../conformance/run.ts";
import { connect, Server } from "../../mod.ts";
import { assertPassed } from "../support/conformance_outcomes.ts";
import { installed } from "../support/programs.ts";
import { portOf } from "../support/wire_harness.ts";

const FOREIGN = new URL("../../examples/foreign/", import.meta.url).pathname;

/** How long a case waits, in ms: on a busy machine Python takes seconds for the largest messages. */
const PATIENCE = 60_000;

/** The example needs Python 3.11. */
const python = await installed("python3", ["-c", "import sys; sys.exit(sys.version_info < (3, 11))"]);

/** A test in Python, which is skipped where Python is missing. */
function inPython(name: string, test: () => Promise<void>): void {
  Deno.test({
    name: python ? name : `${name} [SKIPPED: python3 3.11 or later cannot be run]`,
    ignore: !python,
    fn: test,
  });
}

/** The server in Python, while it lasts. */
class PythonServer implements AsyncDisposable {
  readonly #process = new Deno.Command("python3", {
    args: [`${FOREIGN}server.py`],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  readonly #complaints = new Response(this.#process.stderr).text();
  readonly #lines = linesOf(this.#process.stdout);

  async address(): Promise<string> {
    const { value, done } = await this.#lines.next();
    return done ? await this.#complaints : value;
  }

  /** What it had to complain about. */
  async end(): Promise<string> {
    await this[Symbol.asyncDispose]();
    return await this.#complaints;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#process.status;
    await this.#lines.return(undefined);
    await this.#complaints;
  }
}

inPython("conformance: the server in Python passes every case", async () => {
  await using server = new PythonServer();
  assertPassed(
    await checkServer("127.0.0.1", portOf(await server.address()), { patience: PATIENCE }),
    "server",
    [],
  );
  assertEquals(await server.end(), "");
});

inPython("conformance: the client in Python passes every case, but for waiting at maxInFlight", async () => {
  await using client = await ClientProcess.start(`python3 '${FOREIGN}client.py'`);
  assertPassed(await checkClient(client, { patience: PATIENCE }), "client", ["limit/in-flight"]);
});

inPython("conformance: a client in Python calls a server of this library", async () => {
  await using server = new Server().register("Arith", { sum: ({ a, b }: { a: number; b: number }) => a + b });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const args = [`${FOREIGN}client.py`, address, "Arith.sum", '{"a": 1, "b": 2}'];
  const { stdout, success } = await new Deno.Command("python3", { args }).output();
  assert(success);
  assertEquals(new TextDecoder().decode(stdout), "3\n");
});

inPython("conformance: a client of this library calls a server in Python, and is called back", async () => {
  await using server = new PythonServer();
  await using client = await connect(await server.address(), {
    services: { Client: { double: (n: number) => 2 * n } },
  });
  assertEquals(await client.call("Conformance.echo", { a: [1, new Date(0), 2n ** 70n] }), {
    a: [1, new Date(0), 2n ** 70n],
  });
  assertEquals(
    await Array.fromAsync(client.stream("Conformance.count", { to: 1_000 })).then((all) => all.length),
    1_000,
  );
  assertEquals(await client.call("Conformance.callBack", { method: "Client.double", args: 21 }), 42);
});
