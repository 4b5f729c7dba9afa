// The conformance runner with implementations that know fewer tags than this library, and with clients that do not follow
// the control protocol.

import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { OwnClient } from "../../conformance/client.ts";
import { ClientProcess } from "../../conformance/process.ts";
import { checkClient, checkServer, type Outcome } from "../../conformance/run.ts";
import { conformanceServer } from "../../conformance/service.ts";
import { BrokenClient, BrokenWire, type Passing } from "../support/broken_wire.ts";
import { portOf } from "../support/wire_harness.ts";

const ABOUT_258 = /^cbor\/bad-tag-258-/;

/** Takes the tag 258 off bodies, as it is for a decoder that does not know it, if `isMeant` says so. */
function untagged(isMeant: (body: Uint8Array) => boolean): (passing: Passing) => Passing[] {
  return ({ header, body }) => [{
    header,
    body: body.toHex().startsWith("d90102") && isMeant(body) ? body.slice(3) : body,
  }];
}

function summary(outcomes: readonly Outcome[]): unknown[] {
  return outcomes.map(({ id, outcome, unknownTag }) => [id, outcome, unknownTag]);
}

const KNOWN = [
  ["cbor/bad-tag-258-around-a-map", "passed", undefined],
  ["cbor/bad-tag-258-with-a-value-twice", "passed", undefined],
];
const UNKNOWN = KNOWN.map(([id, outcome]) => [id, outcome, 258]);
const PARTLY_KNOWN = [KNOWN[0], ["cbor/bad-tag-258-with-a-value-twice", "failed", undefined]];

Deno.test("conformance: a server that does not know a tag passes its cases, and the outcome says so", async () => {
  await using server = conformanceServer();
  const port = portOf((await server.listen("tcp@127.0.0.1:0")).address);
  assertEquals(summary(await checkServer("127.0.0.1", port, { filter: ABOUT_258 })), KNOWN);
  await using wire = new BrokenWire(port, "server", { to: untagged(() => true) });
  assertEquals(summary(await checkServer("127.0.0.1", wire.port, { filter: ABOUT_258 })), UNKNOWN);
});

Deno.test("conformance: a server that knows a tag must reject every wrong content of it", async () => {
  await using server = conformanceServer();
  const port = portOf((await server.listen("tcp@127.0.0.1:0")).address);
  await using wire = new BrokenWire(port, "server", { to: untagged((body) => body[3] === 0x82) });
  assertEquals(summary(await checkServer("127.0.0.1", wire.port, { filter: ABOUT_258 })), PARTLY_KNOWN);
});

Deno.test("conformance: a client that does not know a tag passes its cases, and the outcome says so", async () => {
  await using client = new OwnClient();
  assertEquals(summary(await checkClient(client, { filter: ABOUT_258 })), KNOWN);
  await using unknowing = new BrokenClient(client, { to: untagged(() => true) });
  assertEquals(summary(await checkClient(unknowing, { filter: ABOUT_258 })), UNKNOWN);
});

Deno.test("conformance: a command whose first line is not its features cannot be tested", async () => {
  await assertRejects(
    () => ClientProcess.start("echo Hello"),
    TypeError,
    'Cannot test client: expected {"features": […]} as the first line of its output, got "Hello"',
  );
  await assertRejects(() => ClientProcess.start("echo null"), TypeError, 'got "null"');
  await assertRejects(
    () => ClientProcess.start("exit 3"),
    TypeError,
    "got none: the command has ended with code 3",
  );
});

Deno.test("conformance: a client that answers with something other than JSON fails the case", async () => {
  const command = `echo '{"features": []}'; while read order; do echo "Connected!"; done`;
  await using client = await ClientProcess.start(command);
  const outcomes = await checkClient(client, { filter: /^call\/(null|true)$/ });
  const reason = 'expected a line of JSON with the id of an order from the client, got "Connected!"';
  assertEquals(outcomes.map((each) => [each.id, each.outcome, each.reason]), [
    ["call/null", "failed", reason],
    ["call/true", "failed", reason],
  ]);
});

Deno.test("conformance: when the client has ended, the remaining cases are skipped", async () => {
  await using client = await ClientProcess.start(`echo '{"features": []}'; read order; exit 4`);
  const outcomes = await checkClient(client, { filter: /^call\/(null|true|zero)$/ });
  assertEquals(outcomes.map(({ outcome }) => outcome), ["failed", "skipped", "skipped"]);
  for (const { reason } of outcomes) assertMatch(reason!, /^the client has ended with code 4$/);
});

Deno.test("conformance: a client that reports an outcome of connect without connecting fails the case", async () => {
  const answers = ["connect", "close"].map((id) => `echo '{"id": "${id}", "result": null}'`).join("; ");
  const command = `echo '{"features": []}'; while read order; do ${answers}; done`;
  await using client = await ClientProcess.start(command);
  const [outcome] = await checkClient(client, { filter: /^call\/null$/ });
  assertEquals(outcome!.reason, 'the client reported {"result":null} without a connection');
});
