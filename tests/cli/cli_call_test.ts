// `rpc call`: values and streams there and back, what goes along, how it fails and how it is interrupted.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { announce, oneOfTokens, Registry, requireToken, RpcError, Server } from "../../mod.ts";
import { OutputClosed } from "../../cli/main.ts";
import { Cli, cli, type CliOptions } from "../support/cli_shell.ts";
import { CliServer, Typed } from "../support/cli_server.ts";
import { until } from "../support/waiting.ts";

/** Calls a method of a server. */
function callOf({ hostAndPort }: CliServer) {
  return (args: string[], options?: CliOptions) => cli(["call", hostAndPort, ...args], options);
}

Deno.test("cli call: sends one value and prints the reply in one line", async () => {
  await using server = await CliServer.open();
  const call = callOf(server);
  assertEquals(await call(["Numbers.root", "16"]), { code: 0, out: "4\n", err: "" });
  assertEquals((await call(["Numbers.now"])).out, '{"$date":"1970-01-01T00:00:00.000Z"}\n');
  const value = '{"a":[{"$bytes":"AAH/"},{"$map":[[1,{"$bigint":"2"}]]},null,-5]}';
  assertEquals((await call(["Echo.echo", value])).out, `${value}\n`);
  assertEquals((await call(["Echo.echo"])).out, "null\n");
  assertEquals((await call(["Echo.echo", "-5"])).out, "-5\n");
  assertEquals((await call(["Echo.echo", '{"a": 1}', "--pretty"])).out, '{\n  "a": 1\n}\n');
  assertEquals((await call(["--codec", "json", "Echo.echo", '{"a": 1}'])).out, '{"a":1}\n');
});

Deno.test("cli call: dns@name:port calls a server that the name has", async () => {
  await using server = await CliServer.open();
  const port = server.hostAndPort.split(":").at(-1);
  assertEquals((await cli(["call", `dns@localhost:${port}`, "Numbers.root", "16"])).out, "4\n");
  const wrong = await cli(["call", "dns@localhost", "Numbers.root", "16"]);
  assertEquals(wrong.code, 2);
  assertStringIncludes(wrong.err, "expected dns@name:port");
});

Deno.test("cli call: streams of answers, of arguments and both are lines", async () => {
  await using server = await CliServer.open();
  const call = callOf(server);
  assertEquals((await call(["Numbers.upTo", "3"])).out, "1\n2\n3\n");
  assertEquals((await call(["Numbers.sum", "-"], { stdin: "1\n\n 2 \r\n3" })).out, "6\n");
  assertEquals((await call(["Numbers.squares", "-"], { stdin: "1\n2\n3\n" })).out, "1\n4\n9\n");
  assertEquals((await call(["Numbers.sum", "-"], { stdin: "" })).out, "0\n");
});

Deno.test("cli call: a line of the input is sent when it comes, and its answer printed", async () => {
  await using server = await CliServer.open();
  const typed = new Typed();
  const run = new Cli(["call", server.address, "Numbers.squares", "-"], { stdin: typed.stdin });
  typed.type("2\n");
  await until(() => run.out === "4\n", "the first answer");
  typed.type("1");
  typed.type("0\n3");
  await until(() => run.out === "4\n100\n", "the second");
  typed.close();
  assertEquals([await run.done, run.out], [0, "4\n100\n9\n"]);
});

Deno.test("cli call: a line that is no JSON ends the call and the program with 2", async () => {
  await using server = await CliServer.open();
  const { code, err } = await callOf(server)(["Numbers.sum", "-"], { stdin: "1\n\n[2,\n" });
  assertEquals(code, 2);
  assertStringIncludes(err, "rpc: Line 3 of the input is not valid JSON: ");
  assertStringIncludes(err, "\n  [2,\n     ^\n");
});

Deno.test("cli call: stops reading the input when the call ends first", async () => {
  await using server = await CliServer.open();
  const typed = new Typed();
  const run = new Cli(["call", server.address, "Numbers.root", "-"], { stdin: typed.stdin });
  assertEquals(await run.done, 1);
  assertMatch(run.err, /invalid_argument: Numbers.root takes one value, not a stream/);
  assertEquals(typed.left, true);
});

Deno.test("cli call: sends metadata and the token", async () => {
  await using server = await CliServer.open({ authenticate: oneOfTokens(["secret"]) });
  const call = callOf(server);
  const flags = ["--metadata", "tenant=a=b", "--metadata=zone="];
  const { out } = await call(["Echo.metadata", ...flags, "--token", "secret"]);
  assertEquals(JSON.parse(out), { tenant: "a=b", zone: "", authorization: "Bearer secret" });
  assertEquals((await call(["Echo.metadata"], { env: { RPC_TOKEN: "secret" } })).code, 0);
  assertEquals((await call(["Echo.metadata"], { env: { RPC_TOKEN: "" } })).code, 1);
  const refused = await call(["Echo.metadata", "--token", "wrong"], { env: { RPC_TOKEN: "secret" } });
  assertEquals(refused.code, 1);
  assertStringIncludes(refused.err, "rpc: unauthenticated: ");
  assertStringIncludes(refused.err, "--token TOKEN or the environment variable RPC_TOKEN");
  assertEquals(refused.err.includes("wrong"), false);
});

Deno.test("cli call: a token is not sent unencrypted to other machines", async () => {
  const { code, err } = await cli(["call", "tcp@192.0.2.1:9", "A.b", "--token", "secret"]);
  assertEquals(code, 1);
  assertStringIncludes(err, "connects only over TLS");
  assertStringIncludes(err, "On the command line: --insecure");
});

Deno.test("cli call: over TLS, with options for trust, client certificate and server name", async () => {
  const pem = (name: string) => Deno.readTextFileSync(new URL(`../certs/${name}`, import.meta.url));
  const tls = { cert: pem("server.pem"), key: pem("server.key"), clientCaCerts: [pem("client_ca.pem")] };
  await using server = new Server({ tls }).register("S", { ok: () => "ok" });
  const { address } = await server.listen("tls@127.0.0.1:0");
  const files = { ca: pem("ca.pem"), cert: pem("client.pem"), key: pem("client.key") };
  const shown = ["--ca", "ca", "--cert", "cert", "--key", "key"];
  assertEquals((await cli(["call", address, "S.ok", ...shown], { files })).out, '"ok"\n');
  const untrusted = await cli(["call", address, "S.ok"], { files });
  assertStringIncludes(untrusted.err, "On the command line: --ca FILE");
  const misnamed = await cli(["call", address, "S.ok", ...shown, "--server-name", "example.org"], { files });
  assertEquals([untrusted.code, misnamed.code], [1, 1]);
  const missing = await cli(["call", address, "S.ok", "--ca", "nowhere"], { files });
  assertEquals(missing.code, 2);
  assertStringIncludes(missing.err, "--ca: cannot read nowhere: No such file");
});

Deno.test("cli call: an error is its code and message, its details, and code 1", async () => {
  await using server = await CliServer.open();
  const call = callOf(server);
  const { code, out, err } = await call(["Numbers.root", "-1"]);
  assertEquals([code, out], [1, ""]);
  const [first, second] = err.split("\n");
  assertMatch(first!, /^rpc: invalid_argument: Cannot accept the arguments of Numbers.root: /);
  assertMatch(second!, /^details: \{"issues":\[\{"message":/);
  const asJson = await call(["Numbers.root", "-1", "--json"]);
  assertEquals(JSON.parse(asJson.err).error.code, "invalid_argument");
  assertEquals(JSON.parse(asJson.err).error.details.issues.length, 1);
});

Deno.test("cli call: what a server says cannot steer the terminal", async () => {
  await using server = new Server().register("S", {
    fail: () => {
      throw new RpcError("aborted", "one\x1b[2Jtwo\nthree\x9b", { details: { "\x1b": 1 } });
    },
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const { err } = await cli(["call", address, "S.fail"]);
  assertEquals(err, 'rpc: aborted: one\\u{1b}[2Jtwo\\u{a}three\\u{9b}\ndetails: {"\\u001b":1}\n');
});

Deno.test("cli call: items that came before an error are printed", async () => {
  await using server = await CliServer.open();
  const run = await callOf(server)(["Slow.count", "--timeout", "300"]);
  assertEquals([run.code, run.out], [1, "1\n"]);
  assertStringIncludes(run.err, "rpc: deadline_exceeded: ");
  assertStringIncludes(run.err, "--timeout 2m or --timeout none");
});

Deno.test("cli call: a method that is unknown is answered with those that there are", async () => {
  await using server = await CliServer.open();
  const call = callOf(server);
  const near = await call(["Numbers.rot", "1"]);
  assertEquals(near.code, 1);
  assertStringIncludes(near.err, 'rpc: unimplemented: Service "Numbers" has no method "rot"\n');
  assertStringIncludes(near.err, "Did you mean Numbers.root?\n");
  assertStringIncludes(
    near.err,
    "has Numbers.root, Numbers.now, Numbers.upTo, Numbers.sum, Numbers.squares\n",
  );
  const far = await call(["Nobody.knows"]);
  assertStringIncludes(far.err, "Echo.echo, Echo.metadata, Slow.wait");
  assertEquals(far.err.includes("rpc.Reflection"), false);
  await using silent = await CliServer.open({ reflection: false });
  const { err } = await callOf(silent)(["Numbers.rot", "1"]);
  assertEquals(err, 'rpc: unimplemented: Service "Numbers" has no method "rot"\n');
});

Deno.test("cli call: the list of methods also requires the token", async () => {
  await using server = await CliServer.open();
  server.server.use(requireToken(oneOfTokens(["secret"])));
  const call = callOf(server);
  const { err } = await call(["Numbers.rot"]);
  assertStringIncludes(err, "rpc: unauthenticated: Numbers.rot requires a valid token");
  assertEquals(err.includes("Numbers.root"), false);
  assertStringIncludes((await call(["Numbers.rot", "--token=secret"])).err, "Did you mean Numbers.root?");
});

Deno.test("cli call: an unreachable server is reported with the address that was tried", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const { code, err } = await cli(["call", `127.0.0.1:${port}`, "A.b"]);
  assertEquals(code, 1);
  assertStringIncludes(err, `rpc: unavailable: Cannot connect to tcp@127.0.0.1:${port}: Connection refused`);
  assertStringIncludes(err, "Check that the server is running at this address");
});

Deno.test("cli call: a wrong command line is one message and code 2, and nothing is called", async () => {
  const wrong: [string[], string][] = [
    [["nowhere", "A.b"], 'rpc: Cannot parse address "nowhere": expected protocol@host:port'],
    [["foo@a:1", "A.b"], "unknown protocol"],
    [["127.0.0.1:0", "A.b"], "port 0 is for listening only"],
    [["http://[", "A.b"], "Cannot use registry URL"],
    [["a:1", "sum"], 'a service and a method, such as Arith.sum, got "sum"'],
    [["a:1", "Arith."], "the names of a service and a method"],
    [["a:1", ".sum"], "the names of a service and a method"],
    [["a:1", "A.b", "{"], "rpc: The argument is not valid JSON: "],
    [["a:1", "A.b", "--timeout", "soon"], "--timeout: expected a duration such as 500 (ms)"],
    [["a:1", "A.b", "--timeout", "0"], "--timeout: expected a duration"],
    [["a:1", "A.b", "--codec", "xml"], '--codec: expected cbor or json, got "xml"'],
    [["a:1", "A.b", "--metadata", "x"], '--metadata: expected NAME=VALUE, got "x"'],
    [["a:1"], "missing METHOD: rpc call ADDRESS METHOD [JSON]"],
    [["a:1", "A.b", "1", "2"], 'unexpected argument "2"'],
    [["a:1", "A.b", "--jsn"], "unknown flag --jsn; did you mean --json?"],
    [["a:1", "A.b", "--token"], "--token needs a value: --token TOKEN"],
    [["a:1", "A.b", "--json=1"], "--json takes no value"],
  ];
  for (const [args, message] of wrong) {
    const { code, out, err } = await cli(["call", ...args]);
    assertEquals([code, out], [2, ""], `${args}: ${err}`);
    assertStringIncludes(err, message);
    assert(err.endsWith("See rpc call --help\n"));
  }
});

Deno.test("cli call: metadata that cannot be sent are a wrong command line", async () => {
  await using server = await CliServer.open();
  const { code, err } = await callOf(server)(["Echo.echo", "--metadata", "a b=c"]);
  assertEquals(code, 2);
  assertStringIncludes(err, 'Cannot use metadata name "a b"');
});

Deno.test("cli call: Ctrl-C cancels the call, aborts its handler, and exits with 130", async () => {
  await using server = await CliServer.open();
  for (const method of ["Slow.wait", "Slow.count"]) {
    const before = server.patient.reasons.length;
    const run = new Cli(["call", server.address, method, "--timeout", "none"]);
    await until(() => server.patient.started > before, "the handler to start");
    run.interrupt();
    assertEquals([await run.done, run.err], [130, ""]);
    await until(() => server.patient.reasons.length > before, "the handler to be aborted");
    assertEquals((server.patient.reasons.at(-1) as RpcError).code, "canceled");
  }
});

Deno.test("cli call: Ctrl-C while it waits for input, and while it connects", async () => {
  await using server = await CliServer.open();
  const typed = new Typed();
  const reading = new Cli(["call", server.address, "Numbers.squares", "-"], { stdin: typed.stdin });
  typed.type("1\n");
  await until(() => reading.out === "1\n", "the first answer");
  reading.interrupt();
  assertEquals([await reading.done, reading.err, typed.left], [130, "", true]);

  // A server that accepts, and says nothing.
  using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const connecting = new Cli(["call", `127.0.0.1:${silent.addr.port}`, "A.b", "--timeout", "500"]);
  using conn = await silent.accept();
  connecting.interrupt();
  assertEquals([await connecting.done, connecting.err], [130, ""]);
  // What it had begun ends by itself.
  while (await conn.read(new Uint8Array(1024)) !== null);
});

Deno.test("cli call: a closed output cancels the call", async () => {
  await using server = await CliServer.open();
  const printed = () => {
    throw new OutputClosed("closed");
  };
  assertEquals((await callOf(server)(["Slow.count"], { printed })).code, 141);
  await until(() => server.patient.reasons.length === 1, "the handler to be aborted");
});

Deno.test("cli call: through a registry, to a server that offers the service or does not list its services", async () => {
  await using registry = new Registry();
  await using web = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, registry.fetch);
  const url = `http://127.0.0.1:${web.addr.port}`;
  const empty = await cli(["call", url, "Echo.echo", "1"]);
  assertEquals(empty.code, 1);
  assertStringIncludes(empty.err, `The registry at ${url} lists no server that offers Echo\n`);

  await using one = await CliServer.open();
  await using _one = await announce(url, { address: one.address, services: ["Numbers"] });
  assertEquals((await cli(["call", url, "Numbers.root", "4"])).out, "2\n");
  const other = await cli(["call", url, "Echo.echo", "1"]);
  assertStringIncludes(other.err, "lists no server that offers Echo; the listed servers offer Numbers\n");

  await using two = await CliServer.open();
  await using _two = await announce(url, { address: two.address });
  assertEquals((await cli(["call", url, "Echo.echo", "1"])).out, "1\n");
});

Deno.test("cli call: a registry that is unreachable, or requires its token", async () => {
  await using registry = new Registry({ token: "reading", protectReads: true });
  await using web = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, registry.fetch);
  const url = `http://127.0.0.1:${web.addr.port}`;
  const refused = await cli(["call", url, "Echo.echo"]);
  assertEquals(refused.code, 1);
  const { err } = await cli(["call", url, "Echo.echo", "--registry-token", "reading"]);
  assertStringIncludes(err, "lists no server that offers Echo");
  await web.shutdown();
  const away = await cli(["call", url, "Echo.echo"]);
  assertEquals(away.code, 1);
  assertStringIncludes(away.err, `rpc: unavailable: Cannot reach registry at ${url}`);
});

Deno.test("cli call: a failure is followed by a hint at the flag that helps", async () => {
  await using server = await CliServer.open();
  const call = callOf(server);
  await using plain = new Server().register("Faulty", {
    boom: () => {
      throw new Error("private");
    },
  });
  const { address } = await plain.listen("tcp@127.0.0.1:0");
  const boom = await cli(["call", address, "Faulty.boom"]);
  assertEquals([boom.code, boom.err.includes("private")], [1, false]);
  assertStringIncludes(boom.err, "rpc: internal: The handler failed\n");
  assertStringIncludes(boom.err, "new Server({ log: console.error })");
  assertStringIncludes((await call(["Numbers.sum", "1"])).err, "Pass - instead of the JSON");
  assertStringIncludes((await call(["Numbers.root", "-"])).err, "Pass one JSON value instead of -");
});
