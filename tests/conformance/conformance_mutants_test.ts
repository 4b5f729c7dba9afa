// The conformance runner notices: servers and clients that break the protocol in one way each fail the case that is
// about it, and pass it without that.

import { assertEquals } from "@std/assert";
import { OwnClient } from "../../conformance/client.ts";
import { checkClient, checkServer, type Outcome } from "../../conformance/run.ts";
import { conformanceServer } from "../../conformance/service.ts";
import { BrokenClient, BrokenWire, type Fault, type Passing } from "../support/broken_wire.ts";
import { Kind } from "../support/frames.ts";
import type { Item } from "../support/raw_peer.ts";
import { portOf } from "../support/wire_harness.ts";

/** How long a case waits for what a broken implementation never sends, in ms. */
const PATIENCE = 300;
const NONE: Passing[] = [];

/** A change of frames of one kind. */
function ofKind(kind: number, change: (passing: Passing) => Passing[]): (passing: Passing) => Passing[] {
  return (passing) => passing.header[0] === kind ? change(passing) : [passing];
}

/** A change of one field of the header of frames of one kind; undefined takes it out. */
function field(kind: number, at: number, to: (field: Item) => Item): (passing: Passing) => Passing[] {
  return ofKind(kind, ({ header, body }) => {
    const value = to(header[at]);
    return [{ header: value === undefined ? header.toSpliced(at, 1) : header.with(at, value), body }];
  });
}

function line(
  change: (fields: Record<string, unknown>) => Record<string, unknown>,
): (line: string) => string {
  return (text) => JSON.stringify(change(JSON.parse(text)));
}

const credit = ({ header }: Passing, items: number): Passing => ({
  header: [Kind.credit, header[1], items, 1_000_000],
  body: new Uint8Array(0),
});

/** What is wrong, with which case, and how it is made so. */
const SERVERS: readonly (readonly [string, string, Fault])[] = [
  ["answers with another number", "echo/text", { from: field(Kind.reply, 1, (seq) => Number(seq) + 2) }],
  ["replies twice", "call/one-answer", { from: ofKind(Kind.reply, (reply) => [reply, reply]) }],
  ["never replies", "echo/null", { from: ofKind(Kind.reply, () => NONE) }],
  ["ignores Cancel", "cancel/running", { to: ofKind(Kind.cancel, () => NONE) }],
  ["takes a key twice", "cbor/bad-key-twice", {
    to: ofKind(Kind.call, ({ header, body }) => [{ header, body: body[0] === 0xa2 ? body.slice(6) : body }]),
  }],
  ["takes frames that are too long", "frame/length-one-over-maxframebytes-head-alone", { shelters: true }],
  ["takes what is no frame", "frame/byte-string-head-with-a-2-byte-length", { shelters: true }],
  ["answers with a Reply behind Items", "stream/out", {
    from: ofKind(Kind.end, ({ header, body }) => [{ header: [Kind.reply, header[1]], body }]),
  }],
  ["forgets to say not-started", "method/unknown-method", { from: field(Kind.error, 4, () => undefined) }],
  ["says not-started of every error", "error/aborted", {
    from: ofKind(
      Kind.error,
      ({ header, body }) => [{ header: [...header.slice(0, 4), new Map([["not-started", ""]])], body }],
    ),
  }],
  ["reports the wrong code", "frame/nothing-behind-a-fault", {
    from: field(Kind.goAway, 2, () => "internal"),
  }],
  ["reports the wrong lastSeq", "frame/calls-before-a-fault", {
    from: field(Kind.goAway, 1, (seq) => Number(seq) + 2),
  }],
  ["closes without GoAway", "seq/even", { from: ofKind(Kind.goAway, () => NONE) }],
  ["does not close behind GoAway", "seq/again", { endFrom: "never" }],
  ["takes more calls than it says", "limit/in-flight", {
    lineFrom: line((fields) => ({ ...fields, maxInFlight: 20 })),
  }],
  ["sends Items without credit", "stream/credit-of-items", {
    to: ofKind(Kind.call, (call) => [call, credit(call, 10)]),
  }],
  ["gives no credit", "stream/grant", { from: ofKind(Kind.credit, () => NONE) }],
  ["takes Items without credit", "stream/over-credit", {
    to: ofKind(Kind.item, (item) => item.header[1] === 1 ? NONE : [item]),
  }],
  ["answers no Ping", "ping/pong", { from: ofKind(Kind.pong, () => NONE) }],
  ["pongs another number", "ping/pong", { from: field(Kind.pong, 1, (n) => Number(n) ^ 1) }],
  ["ignores the timeout", "timeout/spent", { to: field(Kind.call, 3, () => 0) }],
  ["ignores handleTimeout", "handshake/handle-timeout", {
    lineTo: line(({ handleTimeout: _, ...rest }) => rest),
  }],
  ["drops a peer that has ended its side", "end/calls-are-answered", { endTo: "reset" }],
  ["tells the token", "option/with-a-token-which-a-server-without-authenticate-does-not-look-at", {
    lineFrom: line((fields) => ({ ...fields, token: "secret" })),
  }],
  ["leaves out a field of the answer", "option/json-codec", {
    lineFrom: line(({ maxInFlight: _, ...rest }) => rest),
  }],
  ["takes every version", "option/version-2", { lineTo: line((fields) => ({ ...fields, version: 1 })) }],
  ["calls with odd numbers", "callback/echo", { from: field(Kind.call, 1, (seq) => Number(seq) + 1) }],
  ["writes metadata that are null", "stream/out-empty", {
    from: ofKind(Kind.end, ({ header, body }) => [{ header: [...header, null], body }]),
  }],
  ["writes a body behind an End", "stream/in-empty", {
    from: ofKind(Kind.reply, ({ header, body }) => [{ header: [Kind.end, header[1]], body }]),
  }],
  ["loses calls that came with the option", "handshake/calls-before-answer", {
    to: field(Kind.call, 2, () => "No.such"),
  }],
  ["tells a private error", "error/thrown", { from: field(Kind.error, 3, () => "a secret of the server") }],
];

const CLIENTS: readonly (readonly [string, string, Fault])[] = [
  ["calls with even numbers", "call/null", { from: field(Kind.call, 1, (seq) => Number(seq) + 1) }],
  ["sends no Cancel", "timeout/spent", { from: ofKind(Kind.cancel, () => NONE) }],
  ["sends no timeout", "timeout/sent", { from: field(Kind.call, 3, () => 0) }],
  ["answers no Ping", "ping/during-a-call", { from: ofKind(Kind.pong, () => NONE) }],
  ["stays after a drain", "goaway/drain", { endFrom: "never" }],
  ["takes what is no value", "body/reply", {
    to: ofKind(
      Kind.reply,
      ({ header, body }) => [{ header, body: body[0] === 0xff ? body.with(0, 0) : body }],
    ),
  }],
  ["takes a key twice", "cbor/bad-key-twice", {
    to: ofKind(Kind.reply, ({ header, body }) => [{ header, body: body[0] === 0xa2 ? body.slice(6) : body }]),
  }],
  ["sends Items without credit", "stream/in-credit", { from: ofKind(Kind.item, (item) => [item, item]) }],
  ["takes a Reply behind Items", "stream/reply-behind-items", {
    to: ofKind(Kind.reply, ({ header }) => [{ header: [Kind.end, header[1]], body: new Uint8Array(0) }]),
  }],
  ["overlooks not-started", "error/not-started", { to: field(Kind.error, 4, () => undefined) }],
  ["overlooks GoAway", "goaway/above-last-seq", { to: ofKind(Kind.goAway, () => NONE) }],
  ["takes odd numbers of a server", "called/odd", { to: ofKind(Kind.call, () => NONE) }],
  ["answers calls that it does not know with a Reply", "called/unknown-method", {
    from: ofKind(Kind.error, ({ header, body }) => [{ header: [Kind.reply, header[1]], body }]),
  }],
  ["takes frames that are too long", "limit/frame-too-long", { shelters: true, to: (passing) => [passing] }],
  ["takes another version", "answer/version-2", { lineTo: line((fields) => ({ ...fields, version: 1 })) }],
  ["asks with another number", "call/true", { lineFrom: line((fields) => ({ ...fields, magicNumber: 1 })) }],
  ["takes answers to calls that were never made", "cross/reply-unknown", {
    to: ofKind(Kind.reply, (reply) => reply.header[1] === 1001 ? NONE : [reply]),
  }],
  ["reads unknown codes as they are", "error/unknown-code-no_such_code", {
    to: field(Kind.error, 2, () => "aborted"),
  }],
];

function outcomes(all: readonly Outcome[]): string[] {
  return all.map(({ id, outcome }) => `${id} ${outcome}`);
}

/** The one case of that id. */
function only(id: string): RegExp {
  return new RegExp(`^${id}$`);
}

for (const [what, id, fault] of SERVERS) {
  Deno.test(`conformance: a server that ${what} fails ${id}`, async () => {
    await using server = conformanceServer();
    const port = portOf((await server.listen("tcp@127.0.0.1:0")).address);
    const filter = only(id);
    assertEquals(outcomes(await checkServer("127.0.0.1", port, { filter })), [`${id} passed`]);
    await using wire = new BrokenWire(port, "server", fault);
    const broken = await checkServer("127.0.0.1", wire.port, {
      filter,
      patience: PATIENCE,
      features: ["callbacks", "in-flight", "streams", "json"],
    });
    assertEquals(outcomes(broken), [`${id} failed`]);
  });
}

for (const [what, id, fault] of CLIENTS) {
  Deno.test(`conformance: a client that ${what} fails ${id}`, async () => {
    const filter = only(id);
    await using client = new OwnClient();
    assertEquals(outcomes(await checkClient(client, { filter })), [`${id} passed`]);
    await using broken = new BrokenClient(client, fault);
    const found = await checkClient(broken, { filter, patience: PATIENCE });
    assertEquals(outcomes(found), [`${id} failed`]);
  });
}
