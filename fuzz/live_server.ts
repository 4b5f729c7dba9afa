// Fuzzes a real server with mutated recordings of correct clients. It must keep answering a correct client,
// and release every connection whose peer has gone.

import { connect } from "../mod.ts";
import { Random } from "../tests/support/cbor_random.ts";
import { Mutator } from "./mutate.ts";
import { fuzzServer, lineEnd, recordings } from "./recording.ts";
import { described, Finding, hashOf, type Target } from "./target.ts";

const decoder = new TextDecoder();

/** Creates the target. */
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
    concurrency: 24,
    next: (random) => mutator.next(random),
    async check(bytes) {
      const outcome = await sendCase(port, bytes);
      const n = calls++;
      try {
        if (await good.call("Echo.echo", n) !== n) throw new Finding("A correct client got the wrong answer");
      } catch (error) {
        throw error instanceof Finding ? error : new Finding(`A correct client got ${described(error)}`);
      }
      return outcome;
    },
    async finish() {
      // The connection of the correct client stays open.
      const deadline = performance.now() + 5_000;
      for (;;) {
        const { connections, inFlight } = server.stats();
        if (connections === 1 && inFlight === 0) return;
        if (performance.now() > deadline) {
          throw new Finding(`${connections - 1} connections and ${inFlight} calls are still open`);
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

/**
 * Sends `bytes` in a few pieces, then ends the stream or closes the connection. Returns the server's
 * reaction.
 */
async function sendCase(port: number, bytes: Uint8Array): Promise<string> {
  const random = new Random(hashOf(bytes));
  using socket = await Deno.connect({ hostname: "127.0.0.1", port });
  const pieces = random.pick([1, 1, 1, 3]);
  try {
    for (let piece = 0, at = 0; piece < pieces; piece++) {
      const end = piece === pieces - 1 ? bytes.length : at + random.below(bytes.length - at + 1);
      while (at < end) at += await socket.write(bytes.subarray(at, end));
    }
    if (random.below(16) === 0) return "closed at once";
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

/** Reads what the server sends until it ends the connection. */
async function toEnd(socket: Deno.TcpConn): Promise<Uint8Array> {
  const received = new Uint8Array(131_072);
  let length = 0;
  for (let count; (count = await socket.read(received.subarray(length % 65_536))) !== null;) length += count;
  return received.subarray(0, Math.min(length, received.length));
}

function outcomeOf(received: Uint8Array): string {
  if (received.length === 0) return "no response";
  const end = received.indexOf(10);
  const line = decoder.decode(received.subarray(0, end));
  const rejected = /^\{"error":\{"code":"(\w+)"/.exec(line);
  if (rejected !== null) return `rejected: ${rejected[1]}`;
  if (!line.startsWith('{"magicNumber":3927900,')) {
    return line.startsWith("HTTP/") ? "HTTP" : "other data";
  }
  // The last frame shows why the server ended: a GoAway contains its code.
  const goAway =
    /(?:canceled|invalid_argument|resource_exhausted|unavailable|deadline_exceeded)(?=.{1,3}Cannot|.{1,3}The )/s
      .exec(decoder.decode(received.subarray(Math.max(end, received.length - 300))));
  if (goAway !== null) return `ended with ${goAway[0]}`;
  return received.length === end + 1 ? "accepted" : "answered";
}
