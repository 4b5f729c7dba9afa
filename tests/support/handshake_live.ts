// A live server for tests of the handshake, and what a raw socket sees of it.

import { assert, assertEquals } from "@std/assert";
import type { ServerOptions } from "../../server/server_options.ts";
import { Server } from "../../server/server.ts";
import { OPTION, RawPeer } from "./raw_peer.ts";
import { portOf } from "./wire_harness.ts";

/** A server that echoes, with one accepted connection. */
export async function open(options: ServerOptions = {}) {
  const log: string[] = [];
  const server = new Server({ ...options, log: (message) => log.push(message) });
  server.register("Echo", { echo: (value: unknown) => value });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const port = portOf(address);
  return {
    server,
    port,
    log,
    dial: () => RawPeer.dial(port),
    [Symbol.asyncDispose]: () => server.close(),
  };
}

/** An accepted connection. */
export async function enter(port: number, option = OPTION): Promise<RawPeer> {
  const peer = await RawPeer.dial(port);
  await peer.send(option);
  assertEquals(JSON.parse((await peer.line())!).magicNumber, 3_927_900);
  return peer;
}

/** Reads a refusal: one line and the end, and nothing else. */
export async function refused(peer: RawPeer): Promise<{ code: string; message: string }> {
  const line = await peer.line();
  assert(line !== null, "The connection ended without a word");
  assert(line.length < 4_096);
  const answer = JSON.parse(line);
  assertEquals(Object.keys(answer), ["error"]);
  assertEquals(await peer.line(), null, "behind the refusal comes the end");
  return answer.error;
}
