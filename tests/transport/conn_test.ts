// Conns that are sockets, and those that are simulated, side by side.

import { assertEquals } from "@std/assert";
import { SimNetwork } from "../../testing/mod.ts";
import { dialNodeTcp } from "../../transport/node_dial.ts";
import { listenNodeTcp } from "../../transport/node_listener.ts";
import { dialTcp, listenTcp } from "../../transport/tcp.ts";
import { testConn } from "../support/contracts/conn.ts";
import { bytes, dialAndReset } from "../support/raw_peer.ts";

const NEVER = new AbortController().signal;

testConn("TCP", () => {
  const listener = listenTcp({ hostname: "127.0.0.1", port: 0 });
  return { listener, dial: () => dialTcp({ hostname: "127.0.0.1", port: listener.port }) };
});

testConn("TCP over Node's sockets", async () => {
  const listener = await listenNodeTcp({ hostname: "127.0.0.1", port: 0 }, {});
  return { listener, dial: () => dialNodeTcp({ hostname: "127.0.0.1", port: listener.port }, NEVER) };
});

testConn("simulated", () => {
  const network = new SimNetwork();
  const listener = network.host("b").listen({ transport: "tcp", hostname: "b", port: 1 });
  const address = { transport: "tcp", hostname: "b", port: 1 } as const;
  return { listener, dial: () => network.host("a").dial(address, NEVER) };
});

testConn("simulated, slow and in parts", () => {
  const network = new SimNetwork();
  network.shape({ delay: [0, 2], chunk: (random) => 1 + Math.floor(random() * 100_000) });
  const listener = network.host("b").listen({ transport: "tcp", hostname: "b", port: 1 });
  const address = { transport: "tcp", hostname: "b", port: 1 } as const;
  return { listener, dial: () => network.host("a").dial(address, NEVER) };
});

Deno.test("tcp: connections that are reset before they are accepted do not delay the next one", async () => {
  const troubles: string[] = [];
  const listener = listenTcp({ hostname: "127.0.0.1", port: 0 }, {
    onAcceptError: (error) => troubles.push(error.message),
  });
  await Promise.all(Array.from({ length: 20 }, () => dialAndReset(listener.port, bytes())));
  const dialed = await dialTcp({ hostname: "127.0.0.1", port: listener.port });
  const accepted = await listener.accept();
  // After trouble, accepting rests.
  assertEquals({ accepted: accepted !== null, troubles }, { accepted: true, troubles: [] });
  dialed.close();
  accepted?.close();
  listener.close();
});
