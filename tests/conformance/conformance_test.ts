// All conformance cases, in both roles: this library, and the implementation in Python, which was written from
// docs/PROTOCOL.md alone. Both are to pass everything that they say they have.

import { assert, assertEquals } from "@std/assert";
import { casesOf } from "../../conformance/cases.ts";
import { OwnClient } from "../../conformance/client.ts";
import { linesOf } from "../../conformance/line_stream.ts";
import { ClientProcess } from "../../conformance/process.ts";
import { checkClient, checkServer, type Outcome } from "../../conformance/run.ts";
import { conformanceServer } from "../../conformance/service.ts";
import { connect, Server } from "../../mod.ts";
import { portOf } from "../support/wire_harness.ts";

const FOREIGN = new URL("../../examples/foreign/", import.meta.url).pathname;

/** Whether there is a Python that has what the example needs. */
function hasPython(): boolean {
  try {
    const args = ["-c", "import sys; sys.exit(sys.version_info < (3, 11))"];
    return new Deno.Command("python3", { args, stdout: "null", stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
}

const python = hasPython();

/** A test in Python, which says so where there is none. */
function inPython(name: string, test: () => Promise<void>): void {
  Deno.test({
    name: python ? name : `${name} (skipped: no python3 of 3.11 or later)`,
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

/** All cases passed; of those that were skipped, each says what is not there. */
function assertPassed(
  outcomes: readonly Outcome[],
  role: "server" | "client",
  skipped: readonly string[],
): void {
  const failed = outcomes.filter(({ outcome }) => outcome === "failed");
  assertEquals(failed.map(({ id, reason, trace }) => `${id}: ${reason}\n${trace?.join("\n")}`), []);
  assertEquals(outcomes.length, casesOf(role).length);
  assertEquals(outcomes.filter(({ outcome }) => outcome === "skipped").map(({ id }) => id), skipped);
}

Deno.test("conformance: this library's server passes every case", async () => {
  await using server = conformanceServer();
  const port = portOf((await server.listen("tcp@127.0.0.1:0")).address);
  assertPassed(await checkServer("127.0.0.1", port), "server", []);
});

Deno.test("conformance: this library's client passes every case", async () => {
  await using client = new OwnClient();
  assertPassed(await checkClient(client), "client", []);
});

inPython("conformance: the server in Python passes every case", async () => {
  await using server = new PythonServer();
  assertPassed(await checkServer("127.0.0.1", portOf(await server.address())), "server", []);
  assertEquals(await server.end(), "");
});

inPython("conformance: the client in Python passes every case, but for waiting at maxInFlight", async () => {
  await using client = await ClientProcess.start(`python3 '${FOREIGN}client.py'`);
  assertPassed(await checkClient(client), "client", ["limit/in-flight"]);
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

Deno.test("conformance: every case has an id of its own and names a heading of the document", async () => {
  const document = await Deno.readTextFile(new URL("../../docs/PROTOCOL.md", import.meta.url));
  const headings = new Set([...document.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading));
  for (const role of ["server", "client"] as const) {
    const cases = casesOf(role);
    assertEquals(new Set(cases.map(({ id }) => id)).size, cases.length);
    assertEquals(
      cases.filter(({ section }) => !headings.has(section)).map(({ id, section }) => [id, section]),
      [],
    );
  }
});
