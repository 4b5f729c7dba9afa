// deno-lint-ignore-file no-console -- its output is read by the parent process
// The server of `deno task memory`, run as a process: keeps the arguments of every call and never responds,
// except for two methods. Reports its memory for each line of input.
//   TRANSPORT   tcp, tls, unix or ws

import { Server } from "../server/server.ts";

const [transport = "tcp"] = Deno.args;
const collect = Reflect.get(globalThis, "gc") as () => void;
const held: unknown[] = [];

function hold(args: unknown): Promise<never> {
  held.push(args);
  return new Promise(() => {});
}

function pem(name: string): Promise<string> {
  return Deno.readTextFile(new URL(`../tests/certs/${name}`, import.meta.url));
}

const SOCKET = "/tmp/troodon-memory.sock";
const HOUR = 3_600_000;
const server = new Server({
  frameTimeout: HOUR,
  writeTimeout: HOUR,
  heartbeatInterval: false,
  maxQueueTime: Infinity,
  tls: transport === "tls" ? { cert: await pem("server.pem"), key: await pem("server.key") } : undefined,
});
server.register("Hold", {
  value: hold,
  stream: hold,
  blob: () => new Uint8Array(65_536),
  frame: () => new Uint8Array(4_194_000),
});

async function listen(): Promise<string> {
  switch (transport) {
    case "ws":
      return (await server.listen("http@127.0.0.1:0")).address.replace("http@", "ws@");
    case "serve": {
      const { addr } = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, server.fetch);
      return `ws@127.0.0.1:${addr.port}`;
    }
    case "unix":
      // The previous server was killed and left its socket.
      await Deno.remove(SOCKET).catch(() => {});
      return (await server.listen(`unix@${SOCKET}`)).address;
    default:
      return (await server.listen(`${transport}@127.0.0.1:0`)).address;
  }
}

console.log(JSON.stringify({ pid: Deno.pid, address: await listen() }));
for await (const _ of Deno.stdin.readable) {
  for (let i = 0; i < 3; i++) collect();
  const { rss } = Deno.memoryUsage();
  console.log(JSON.stringify({ rss, held: held.length }));
}
