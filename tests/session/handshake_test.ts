// The handshake of a live server, from raw sockets: which clients are accepted, which are refused and how, and that nothing leaks.

import { assert, assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { Server } from "../../server/server.ts";
import { enter, open, refused } from "../support/handshake_live.ts";
import { lineOf, type LineVector } from "../support/handshake_vectors.ts";
import { call, headerOf } from "../support/frames.ts";
import {
  bodyOf,
  bytes,
  cbor,
  dialAndReset,
  type Frame,
  frame,
  OPTION,
  type RawPeer,
} from "../support/raw_peer.ts";
import { soon, until } from "../support/waiting.ts";
import { assertLives, portOf } from "../support/wire_harness.ts";
import vectors from "../../docs/vectors/handshake.json" with { type: "json" };

const SERVER_ANSWER = {
  magicNumber: 3_927_900,
  version: 1,
  codecType: "application/cbor",
  handleTimeout: 0,
  maxFrameBytes: 4_194_304,
  maxInFlight: 1_024,
  heartbeatInterval: 30_000,
};

Deno.test("handshake: the answer has the fields of the protocol and never the token", async () => {
  await using at = await open({
    handleTimeout: 700,
    maxInFlight: 20,
    maxFrameBytes: 65_536,
    heartbeatInterval: false,
  });
  for (const [asked, handleTimeout] of [[undefined, 700], [0, 700], [500, 500], [900, 700]]) {
    using peer = await at.dial();
    await peer.send(`${JSON.stringify({ magicNumber: 3_927_900, handleTimeout: asked, token: "secret" })}\n`);
    assertEquals(JSON.parse((await peer.line())!), {
      ...SERVER_ANSWER,
      handleTimeout,
      maxFrameBytes: 65_536,
      maxInFlight: 20,
      heartbeatInterval: 0,
    });
  }
});

Deno.test("handshake: every accepted vector is accepted, and can call", async () => {
  await using at = await open();
  for (const vector of vectors.accepted) {
    using peer = await at.dial();
    await peer.send(lineOf(vector));
    const answer = JSON.parse((await peer.line())!);
    assertEquals(answer, {
      ...SERVER_ANSWER,
      codecType: vector.option.codecType,
      handleTimeout: vector.option.handleTimeout,
    }, vector.name);
    await peer.send(frame(headerOf.call(1, "Echo.echo", 0), one(answer.codecType)));
    assertEquals((await peer.frame())?.header, headerOf.reply(1), vector.name);
  }
  assertEquals({ accepted: at.server.stats().accepted, refused: at.server.stats().refused }, {
    accepted: vectors.accepted.length,
    refused: 0,
  });
});

/** The number 1 in either codec. */
function one(codecType: string): Uint8Array {
  return codecType === "application/json" ? bytes("1") : cbor(1);
}

/** The texts of an option that a refusal must not repeat at length: any run of its bytes, as they came. */
function longestEcho(sent: Uint8Array, message: string): number {
  const text = new TextDecoder("latin1").decode(sent);
  let longest = 0;
  for (let from = 0; from < message.length; from++) {
    while (text.includes(message.slice(from, from + longest + 1)) && from + longest < message.length) {
      longest++;
    }
  }
  return longest;
}

Deno.test("handshake: every refused vector gets one line with its code and then the end, and other clients are unaffected", async () => {
  await using at = await open();
  using steady = await enter(at.port);
  let seq = 1;
  await Promise.all(vectors.refused.map(async (vector: LineVector & { code: string }) => {
    using peer = await at.dial();
    const sent = lineOf(vector);
    await peer.send(sent);
    const { code, message } = await refused(peer);
    assertEquals(code, vector.code, vector.name);
    assertLess(longestEcho(sent, message), 65, vector.name);
  }));
  for (let i = 0; i < 3; i++, seq += 2) await assertLives(steady, seq);
  await until(() => at.server.stats().refused === vectors.refused.length, "all to be counted");
  assertEquals(at.server.stats().connections, 1);
});

Deno.test("handshake: a long codec name or magic number is truncated in the answer", async () => {
  await using at = await open();
  for (const fields of [{ codecType: "☺".repeat(1_000) }, { magicNumber: "x".repeat(3_000) }]) {
    using peer = await at.dial();
    const sent = bytes(JSON.stringify({ magicNumber: 3_927_900, ...fields }), "\n");
    await peer.send(sent);
    const { message } = await refused(peer);
    assert(!message.includes("☺".repeat(22)) && !message.includes("x".repeat(65)), message);
  }
});

Deno.test("handshake: an option cut anywhere is the same option", async () => {
  await using at = await open();
  const option = bytes('{"magicNumber":3927900,"token":"é😈"}\r\n');
  await Promise.all(Array.from(option.slice(1), async (_, i) => {
    using peer = await at.dial();
    await peer.sendCut(option, [i + 1]);
    assertEquals(JSON.parse((await peer.line())!), SERVER_ANSWER);
  }));
});

Deno.test("handshake: 16 calls in the same write as the option are all answered, wherever that is cut", async () => {
  await using at = await open();
  const calls = Array.from({ length: 16 }, (_, i) => call(2 * i + 1, "Echo.echo", `call ${i}`));
  const whole = bytes(OPTION, ...calls);
  const cuts = [[], ...Array.from({ length: 60 }, (_, i) => [i * 6 + 1])];
  for (const cut of cuts) {
    using peer = await at.dial();
    await peer.sendCut(whole, cut);
    await peer.line();
    const replies = await peer.frames(16);
    assertEquals(replies.map(({ header }) => header), calls.map((_, i) => headerOf.reply(2 * i + 1)));
    assertEquals(replies.map(bodyOf), calls.map((_, i) => `call ${i}`));
  }
});

Deno.test("handshake: 16 calls of 64 KiB before the answer are all answered", async () => {
  await using at = await open();
  using peer = await at.dial();
  const large = new Uint8Array(65_500);
  const sending = peer.send(
    OPTION,
    ...Array.from({ length: 16 }, (_, i) => call(2 * i + 1, "Echo.echo", large.fill(i).slice())),
  );
  await peer.line();
  const replies: Frame[] = await peer.frames(16);
  await sending;
  assertEquals(replies.map((reply) => (bodyOf(reply) as Uint8Array).at(-1)), replies.map((_, i) => i));
});

Deno.test("handshake: calls sent with a refused option are not started", async () => {
  await using at = await open();
  using peer = await at.dial();
  await peer.send('{"magicNumber":3927900,"version":2}\n', call(1, "Echo.echo"));
  assertEquals((await refused(peer)).code, "unimplemented");
  assertEquals(at.server.stats().methods[0]!.calls, 0);
});

Deno.test("handshake: a silent client is refused after handshakeTimeout", async () => {
  await using at = await open({ handshakeTimeout: 150 });
  const began = performance.now();
  using peer = await at.dial();
  assertEquals((await refused(peer)).code, "deadline_exceeded");
  const took = performance.now() - began;
  assert(took > 140, `${took} ms`);
  peer.close();
  await until(() => at.server.stats().refused === 1, "the refusal to be counted");
  assertStringIncludes(at.log.join(), "150 ms");
});

Deno.test("handshake: a byte now and then does not extend its time", async () => {
  await using at = await open({ handshakeTimeout: 1_000 });
  using peer = await at.dial();
  let sent = 0;
  const timer = setInterval(() => void peer.send(sent++ === 0 ? "{" : " ").catch(() => {}), 20);
  const { code } = await refused(peer);
  clearInterval(timer);
  assertEquals(code, "deadline_exceeded");
  assert(sent > 2, `${sent} bytes`);
});

Deno.test("handshake: a client that is still sending when it is refused may finish, and is not reset", async () => {
  await using at = await open();
  using peer = await at.dial();
  await peer.send("no\n");
  assertEquals((await refused(peer)).code, "invalid_argument");
  for (let i = 0; i < 20; i++) await peer.send(new Uint8Array(16_384));
  await peer.end();
  await until(() => at.server.stats().refused === 1, "the refusal to be counted");
});

Deno.test("handshake: a client that does not close after its refusal is cut off", async () => {
  await using at = await open({ handshakeTimeout: 500 });
  using silent = await at.dial();
  assertEquals((await refused(silent)).code, "deadline_exceeded");
  using wrong = await at.dial();
  await wrong.send("no\n");
  assertEquals((await refused(wrong)).code, "invalid_argument");
  await until(() => at.server.stats().refused === 2, "both to be counted");
  // Neither peer ends its side. Only when both sockets have been closed there is anything here that fails.
  for (const peer of [silent, wrong]) await soon(untilWriteFails(peer), "the cut");
});

async function untilWriteFails(peer: RawPeer): Promise<void> {
  try {
    for (;;) {
      await peer.send("x");
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  } catch {
    // It is closed.
  }
}

Deno.test("handshake: 200 peers that end, reset or stay silent leak nothing", async () => {
  await using at = await open({ handshakeTimeout: 500 });
  using steady = await enter(at.port);
  const half = bytes('{"magicNumber":');
  const one = async (i: number) => {
    if (i % 4 === 0) return await dialAndReset(at.port, i % 8 === 0 ? half : bytes());
    using peer = await at.dial();
    if (i % 4 === 1) await peer.end();
    if (i % 4 === 2) {
      await peer.send(half);
      await peer.end();
    }
    await peer.gone();
  };
  for (let i = 0; i < 200; i += 50) await Promise.all(Array.from({ length: 50 }, (_, j) => one(i + j)));
  await assertLives(steady, 1);
  assertEquals(at.server.stats().connections, 1);
  // That neither sockets nor timers are left is what the test runner sees to, once the server is closed.
});

Deno.test("handshake: a connection above the limit is refused, and there is room again when another ends", async () => {
  await using at = await open({ maxConnections: 2 });
  using first = await enter(at.port);
  using second = await enter(at.port);
  {
    using third = await at.dial();
    assertEquals((await refused(third)).code, "resource_exhausted");
  }
  await assertLives(first, 1);
  await assertLives(second, 1);
  second.close();
  await until(() => at.server.stats().connections === 1, "the second to be gone");
  await until(() => at.server.stats().refused === 1, "the third to be gone");
  using fourth = await enter(at.port);
  await assertLives(fourth, 1);
});

Deno.test("handshake: a peer in its handshake counts as a connection, and makes room for a newcomer", async () => {
  await using at = await open({ maxConnections: 1 });
  using silent = await at.dial();
  using second = await at.dial();
  assertEquals((await refused(silent)).code, "resource_exhausted");
  await second.send(OPTION);
  assertEquals(JSON.parse((await second.line())!).version, 1);
  using third = await at.dial();
  assertEquals((await refused(third)).code, "resource_exhausted");
  assertEquals(at.server.stats().refusals.maxConnections, 2);
});

Deno.test("handshake: a server that shuts down refuses clients that are still in their handshake", async () => {
  await using at = await open();
  using silent = await at.dial();
  using half = await at.dial();
  await half.send('{"magicNumber":');
  using third = await at.dial();
  await third.send("x\n");
  assertEquals((await refused(third)).code, "invalid_argument");
  const ended = at.server.shutdown();
  assertEquals((await refused(silent)).code, "unavailable");
  assertEquals((await refused(half)).code, "unavailable");
  await soon(ended, "the server's end");
});

Deno.test("handshake: a client with a maxFrameBytes of 256 gets no longer frame, errors included", async () => {
  const server = new Server();
  server.register("Odd", {
    fail: () => {
      throw new RpcError("aborted", "x☺".repeat(4_000), { details: { a: "y".repeat(5_000) } });
    },
    large: () => "z".repeat(300),
  });
  await using _ = server;
  const { address } = await server.listen("tcp@127.0.0.1:0");
  using peer = await enter(portOf(address), '{"magicNumber":3927900,"maxFrameBytes":256}\n');
  const nasty = "\u0001".repeat(100);
  await peer.send(
    call(1, "Odd.fail"),
    call(3, "Odd.large"),
    call(5, `${nasty}.${nasty}`),
    call(7, "☺".repeat(200)),
    frame(headerOf.call(9, "Odd.large", 0), bytes(0xff)),
  );
  const errors = await peer.frames(5);
  for (const { body, header } of errors) {
    assert(body.length + cbor(header).length <= 256, `${body.length + cbor(header).length} bytes`);
  }
  assertEquals(errors.map(({ header }) => header.slice(0, 3)), [
    headerOf.error(1, "aborted"),
    headerOf.error(3, "resource_exhausted"),
    headerOf.error(5, "unimplemented"),
    headerOf.error(7, "unimplemented"),
    headerOf.error(9, "invalid_argument"),
  ]);
});

Deno.test("handshake: a client without maxFrameBytes gets frames of up to 4 MiB, whatever the server accepts", async () => {
  for (const maxFrameBytes of [65_536, 8_388_608]) {
    const server = new Server({ maxFrameBytes });
    server.register("Large", { make: (length: number) => new Uint8Array(length) });
    await using _ = server;
    const { address } = await server.listen("tcp@127.0.0.1:0");
    using peer = await enter(portOf(address));
    peer.skipsPings = true;
    const head = 3 + 5;
    await peer.send(call(1, "Large.make", 4_194_304 - head), call(3, "Large.make", 4_194_304 - head + 1));
    // The small Error may pass the large Reply.
    const frames = await peer.frames(2);
    const [largest, tooLarge] = frames.sort((a, b) => Number(a.header[1]) - Number(b.header[1]));
    assertEquals({ header: largest?.header, body: largest?.body.length }, {
      header: headerOf.reply(1),
      body: 4_194_304 - 3,
    });
    assertEquals(tooLarge?.header.slice(0, 3), headerOf.error(3, "resource_exhausted"));
  }
});

Deno.test("handshake: the documented answer, byte for byte", async () => {
  await using at = await open();
  using peer = await at.dial();
  await peer.send('{"magicNumber":3927900,"codecType":"application/cbor"}\n');
  assertEquals(
    await peer.line(),
    '{"magicNumber":3927900,"version":1,"codecType":"application/cbor","handleTimeout":0,' +
      '"maxFrameBytes":4194304,"maxInFlight":1024,"heartbeatInterval":30000}',
  );
});
