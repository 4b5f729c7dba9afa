// A real server on a real port, told mutated recordings of what good clients say. Whatever comes, it goes on
// answering a good client, and nothing is left of the connection when its peer has gone.

import { connect } from "../mod.ts";
import { Random } from "../tests/support/cbor_random.ts";
import { Mutator } from "./mutate.ts";
import { fuzzServer, lineEnd, recordings } from "./recording.ts";
import { described, Finding, hashOf, type Target } from "./target.ts";

const decoder = new TextDecoder();

/** Makes the target. */
export async function serverTarget(): Promise<Target> {
  const mutator = new Mutator((await recordings()).map(({ up }) => up), lineEnd);
  const server = fuzzServer({
    handshakeTimeout: 2_000,
    frameTimeout: 2_000,
    writeTimeout: 2_000,
    maxInFlight: 64,
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const port = Number(address.slice(address.lastIndexOf(":") + 1));
  const good = await connect(address, { timeout: 5_000 });
  let calls = 0;
  return {
    name: "server",
    atOnce: 24,
    next: (random) => mutator.next(random),
    async check(bytes) {
      const outcome = await tell(port, bytes);
      const n = calls++;
      try {
        if (await good.call("Echo.echo", n) !== n) throw new Finding("A good client got the wrong answer");
      } catch (error) {
        throw error instanceof Finding ? error : new Finding(`A good client got ${described(error)}`);
      }
      return outcome;
    },
    async finish() {
      // The good client's own connection is what stays.
      const until = performance.now() + 5_000;
      for (;;) {
        const { connections, inFlight } = server.stats();
        if (connections === 1 && inFlight === 0) return;
        if (performance.now() > until) {
          throw new Finding(`${connections - 1} connections and ${inFlight} calls are left`);
        }
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
    async [Symbol.asyncDispose]() {
      await good.close();
      await server.close();
    },
  };
}

/** Says `bytes` in a few pieces, then ends or goes away; returns what the server made of it. */
async function tell(port: number, bytes: Uint8Array): Promise<string> {
  const how = new Random(hashOf(bytes));
  using socket = await Deno.connect({ hostname: "127.0.0.1", port });
  const pieces = how.pick([1, 1, 1, 3]);
  try {
    for (let piece = 0, at = 0; piece < pieces; piece++) {
      const end = piece === pieces - 1 ? bytes.length : at + how.below(bytes.length - at + 1);
      while (at < end) at += await socket.write(bytes.subarray(at, end));
    }
    if (how.below(16) === 0) return "left at once";
    await socket.closeWrite();
    return outcomeOf(await toEnd(socket));
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.BrokenPipe) {
      return "reset";
    }
    if (error instanceof Deno.errors.NotConnected) return "reset";
    throw error;
  }
}

/** What the server says until it ends the connection. */
async function toEnd(socket: Deno.TcpConn): Promise<Uint8Array> {
  const said = new Uint8Array(131_072);
  let length = 0;
  for (let count; (count = await socket.read(said.subarray(length % 65_536))) !== null;) length += count;
  return said.subarray(0, Math.min(length, said.length));
}

function outcomeOf(said: Uint8Array): string {
  if (said.length === 0) return "no answer";
  const end = said.indexOf(10);
  const line = decoder.decode(said.subarray(0, end));
  const refused = /^\{"error":\{"code":"(\w+)"/.exec(line);
  if (refused !== null) return `refused: ${refused[1]}`;
  if (!line.startsWith('{"magicNumber":3927900,')) {
    return line.startsWith("HTTP/") ? "HTTP" : "something else";
  }
  // The last frame tells why the server ended: a GoAway names its code.
  const goAway =
    /(?:canceled|invalid_argument|resource_exhausted|unavailable|deadline_exceeded)(?=.{1,3}Cannot|.{1,3}The )/s
      .exec(decoder.decode(said.subarray(Math.max(end, said.length - 300))));
  if (goAway !== null) return `cut off: ${goAway[0]}`;
  return said.length === end + 1 ? "let in" : "answered";
}
