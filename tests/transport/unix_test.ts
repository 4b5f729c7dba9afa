// RPC over Unix sockets: a process of its own does it, with the permissions that it needs and no others.

import { assertEquals, assertMatch } from "@std/assert";
import { testOnLinux, testOnPosix } from "../support/platform.ts";

testOnPosix(
  "unix: calls go through, the socket's file goes when it is closed, a path in use is refused",
  async () => {
    const directory = await Deno.makeTempDir();
    const path = `${directory}/rpc.sock`;
    try {
      const { stdout, stderr } = await new Deno.Command("deno", {
        args: [
          "run",
          "--no-check",
          `--allow-net=unix:${path}`,
          `--allow-read=${directory}`,
          `--allow-write=${directory}`,
          new URL("../support/unix_peer.ts", import.meta.url).href,
          path,
        ],
      }).output();
      const text = new TextDecoder().decode(stdout);
      assertMatch(text, /^\{/, new TextDecoder().decode(stderr));
      const { taken, refused, inTheWay, stale, ...seen } = JSON.parse(text);
      assertEquals(seen, {
        address: `unix@${path}`,
        existsWhileListening: true,
        existsAfterTaken: true,
        echo: { a: [1, "x"] },
        large: true,
        peer: `unix@${path}`,
        existsAfterClose: false,
        stillConnected: 2,
        precious: "precious",
        existsAfterStale: true,
        existsAgain: true,
        existsAtTheEnd: false,
      });
      for (
        const [failure, why] of [
          [taken, "a server listens there"],
          [inTheWay, "the path is not a socket; use another path"],
          [stale, "no server listens there anymore; remove the file, .* left behind"],
        ]
      ) {
        const start = `AddrInUse: Cannot listen on unix@${path}: Address already in use`;
        assertMatch(failure, new RegExp(`^${start} .*: ${why}$`));
      }
      assertMatch(refused, /^RpcError: Cannot connect to unix@/);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
);

testOnLinux(
  "unix: more clients at once than may wait to be accepted all connect, within connectTimeout",
  async () => {
    const directory = await Deno.makeTempDir();
    const [path, full] = [`${directory}/rpc.sock`, `${directory}/full.sock`];
    try {
      const { stdout, stderr } = await new Deno.Command("deno", {
        args: [
          "run",
          "--no-check",
          `--allow-net=unix:${path},unix:${full}`,
          `--allow-read=${directory}`,
          `--allow-write=${directory}`,
          new URL("../support/unix_burst_peer.ts", import.meta.url).href,
          path,
          full,
        ],
      }).output();
      const text = new TextDecoder().decode(stdout);
      assertMatch(text, /^\{/, new TextDecoder().decode(stderr));
      const { connected, failures: [late, taken] } = JSON.parse(text);
      assertEquals(connected, 1_500);
      assertMatch(late, /^Cannot connect to unix@.*: no answer within 50 ms/);
      assertMatch(taken, /: a server listens there$/);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
);
