// How long ends and failures take, exactly: in simulated time, which passes only where something waits.

import { assertEquals } from "@std/assert";
import { parseAddress } from "../../discovery/endpoint.ts";
import { connect, MultiServers, Server } from "../../mod.ts";
import { type SimNetwork, simulate } from "../../testing/mod.ts";
import { ANSWER, OPTION, RawPeer } from "../support/raw_peer.ts";
import { fails } from "../support/session_pair.ts";

const ADDRESS = "tcp@server:1";
const NEVER = new AbortController().signal;

function listening(network: SimNetwork): Server {
  const server = new Server({ network: network.host("server") });
  return server.register("S", { ok: () => "ok", never: () => new Promise(() => {}) });
}

/** A peer that has agreed on the options, and does nothing by itself. */
async function enter(network: SimNetwork): Promise<RawPeer> {
  const peer = new RawPeer(await network.host("client").dial(parseAddress(ADDRESS), NEVER));
  await peer.send(OPTION);
  await peer.line();
  return peer;
}

Deno.test("time limits: a shutdown with 50 idle connections takes no time", () =>
  simulate(async ({ network, time }) => {
    const server = listening(network);
    await server.listen(ADDRESS);
    const peers = await Promise.all(Array.from({ length: 50 }, () => enter(network)));
    const began = time.now;
    const ended = server.shutdown();
    await Promise.all(peers.map(async (peer) => {
      await peer.gone();
      peer.close();
    }));
    await ended;
    assertEquals(time.now - began, 0);
  }));

Deno.test("time limits: a shutdown waits one second for a peer that does not close its connection", () =>
  simulate(async ({ network, time }) => {
    const server = listening(network);
    await server.listen(ADDRESS);
    using _peer = await enter(network);
    const began = time.now;
    await server.shutdown();
    assertEquals(time.now - began, 1_000);
  }));

Deno.test("time limits: a shutdown whose handlers never return takes its grace", () =>
  simulate(async ({ network, sleep, time }) => {
    const server = listening(network);
    await server.listen(ADDRESS);
    await using client = await connect(ADDRESS, { network: network.host("client") });
    const call = fails(client.call("S.never"), "unavailable");
    await sleep(1); // the call arrives
    const began = time.now;
    await server.shutdown({ grace: 150 });
    assertEquals(time.now - began, 150);
    await call;
  }));

Deno.test("time limits: a client that waits to dial again closes in no time", () =>
  simulate(async ({ network, time }) => {
    const client = await connect(new MultiServers([ADDRESS]), { network: network.host("client") });
    await fails(client.call("S.ok"), "unavailable");
    const began = time.now;
    await client.close();
    assertEquals(time.now - began, 0);
  }));

Deno.test("time limits: a client waits one second for a server that does not close its connection", () =>
  simulate(async ({ network, time }) => {
    const listener = network.host("server").listen(parseAddress(ADDRESS));
    const accepting = listener.accept();
    const connecting = connect(ADDRESS, { network: network.host("client") });
    using peer = new RawPeer((await accepting)!);
    await peer.line();
    await peer.send(ANSWER);
    const client = await connecting;
    const began = time.now;
    await client.close();
    assertEquals(time.now - began, 1_000);
    listener.close();
  }));

for (const timeout of [1, 200, 5_000]) {
  Deno.test(`time limits: a call with a timeout of ${timeout} ms fails after ${timeout} ms`, () =>
    simulate(async ({ network, time }) => {
      const server = listening(network);
      await server.listen(ADDRESS);
      await using client = await connect(ADDRESS, { network: network.host("client") });
      const began = time.now;
      await fails(client.call("S.never", null, { timeout }), "deadline_exceeded");
      assertEquals(time.now - began, timeout);
      await server.close();
    }));
}

Deno.test("time limits: connectTimeout ends a handshake that is not answered", () =>
  simulate(async ({ network, time }) => {
    const listener = network.host("server").listen(parseAddress(ADDRESS));
    const began = time.now;
    await fails(connect(ADDRESS, { network: network.host("client"), connectTimeout: 150 }), "unavailable");
    assertEquals(time.now - began, 150);
    listener.close();
  }));

Deno.test("time limits: handshakeTimeout ends a connection that says nothing", () =>
  simulate(async ({ network, time }) => {
    const server = new Server({ network: network.host("server"), handshakeTimeout: 150 });
    await server.listen(ADDRESS);
    using peer = new RawPeer(await network.host("client").dial(parseAddress(ADDRESS), NEVER));
    const began = time.now;
    await peer.line();
    assertEquals(time.now - began, 150);
    peer.close();
    await server.close();
  }));
