// The command line as a program: a process of its own with the permissions of its task, its input, its signals, its end.

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { RpcError } from "../../mod.ts";
import { CliServer } from "../support/cli_server.ts";
import { until } from "../support/waiting.ts";

const MAIN = new URL("../../cli/main.ts", import.meta.url).pathname;
const onWindows = Deno.build.os === "windows";

/** A process of the program, and what it prints. */
class Process implements AsyncDisposable {
  out = "";
  err = "";
  readonly child: Deno.ChildProcess;
  readonly #reading: Promise<void>[];

  constructor(args: string[], options: { stdin?: "piped" | "null"; env?: Record<string, string> } = {}) {
    const { stdin = "null", env = {} } = options;
    this.child = new Deno.Command("deno", {
      args: ["run", "--quiet", "-P=rpc", MAIN, ...args],
      env: { RPC_TOKEN: "", NO_COLOR: "1", ...env },
      stdin,
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#reading = [
      read(this.child.stdout, (text) => this.out += text),
      read(this.child.stderr, (text) => this.err += text),
    ];
  }

  /** Waits for its end. */
  async ended(): Promise<{ code: number; out: string; err: string }> {
    const { code } = await this.child.status;
    await Promise.all(this.#reading);
    return { code, out: this.out, err: this.err };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.ended();
  }
}

async function read(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  take: (text: string) => void,
): Promise<void> {
  for await (const text of stream.pipeThrough(new TextDecoderStream())) take(text);
}

Deno.test("cli program: exit codes and where what goes", async () => {
  await using server = await CliServer.open();
  const runs = await Promise.all([
    new Process(["call", server.hostAndPort, "Numbers.upTo", "3"]).ended(),
    new Process(["call", server.hostAndPort, "Numbers.root", "-1"]).ended(),
    new Process(["call", server.hostAndPort, "root"]).ended(),
    new Process(["--help"]).ended(),
  ]);
  assertEquals(runs.map(({ code }) => code), [0, 1, 2, 0]);
  assertEquals(runs.map(({ out }) => out === ""), [false, true, true, false]);
  assertEquals(runs.map(({ err }) => err === ""), [true, false, false, true]);
  assertEquals(runs[0]!.out, "1\n2\n3\n");
  assertMatch(runs[1]!.err, /^rpc: invalid_argument: /);
});

Deno.test("cli program: takes the token from the environment", async () => {
  const authenticate = (token: string | undefined) => token === "secret";
  await using server = await CliServer.open({ authenticate });
  const args = ["call", server.address, "Echo.echo", "1"];
  assertEquals((await new Process(args, { env: { RPC_TOKEN: "secret" } }).ended()).code, 0);
  assertEquals((await new Process(args).ended()).code, 1);
});

Deno.test("cli program: missing permissions are reported without a prompt", async () => {
  const { code, err } = await new Process(["call", "tls@127.0.0.1:1", "A.b", "--ca", "ca.pem"]).ended();
  assertEquals(code, 2);
  assertStringIncludes(err, 'rpc: --ca: cannot read ca.pem: Requires read access to "ca.pem"');
});

Deno.test("cli program: lines of the input go out as they come", async () => {
  await using server = await CliServer.open();
  await using process = new Process(["call", server.address, "Numbers.squares", "-"], { stdin: "piped" });
  const writer = process.child.stdin.getWriter();
  const type = (text: string) => writer.write(new TextEncoder().encode(text));
  await type("2\n");
  await until(() => process.out === "4\n", "the first answer");
  await type("3\n4");
  await until(() => process.out === "4\n9\n", "the second");
  await writer.close();
  assertEquals(await process.ended(), { code: 0, out: "4\n9\n16\n", err: "" });
});

for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
  Deno.test({
    name: `cli program: ${signal} cancels the call, aborts its handler, and exits with ${code}`,
    ignore: onWindows,
    async fn() {
      await using server = await CliServer.open();
      await using process = new Process(["call", server.address, "Slow.count", "--timeout", "none"]);
      await until(() => server.patient.started === 1 && process.out === "1\n", "the first item");
      process.child.kill(signal);
      assertEquals(await process.ended(), { code, out: "1\n", err: "" });
      await until(() => server.patient.reasons.length === 1, "the handler to be aborted");
      assertEquals((server.patient.reasons[0] as RpcError).code, "canceled");
    },
  });
}

Deno.test({
  name: "cli program: Ctrl-C while it waits for a line of the input",
  ignore: onWindows,
  async fn() {
    await using server = await CliServer.open();
    await using process = new Process(["call", server.address, "Numbers.squares", "-"], { stdin: "piped" });
    const writer = process.child.stdin.getWriter();
    await writer.write(new TextEncoder().encode("2\n"));
    await until(() => process.out === "4\n", "the first answer");
    process.child.kill("SIGINT");
    assertEquals((await process.ended()).code, 130);
    await writer.close().catch(() => {});
  },
});

Deno.test({
  name: "cli program: a closed output ends it, as in a pipe to head",
  ignore: onWindows,
  async fn() {
    await using server = await CliServer.open();
    const command = new Deno.Command("sh", {
      args: [
        "-c",
        `(deno run --quiet -P=rpc "$1" call "$2" Numbers.upTo 1000000; echo "code $?" >&2) | head -n 2`,
        "sh",
        MAIN,
        server.address,
      ],
      stdout: "piped",
      stderr: "piped",
    });
    const { stdout, stderr } = await command.output();
    assertEquals(new TextDecoder().decode(stdout), "1\n2\n");
    assertEquals(new TextDecoder().decode(stderr), "code 141\n");
  },
});
