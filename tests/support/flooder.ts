// Floods a server from a process of its own, as fast as it can, for `fairness_test.ts`: the port, and for how many ms.

import { ping } from "./frames.ts";
import { OPTION } from "./raw_peer.ts";

const [port, ms] = Deno.args.map(Number);
const conn = await Deno.connect({ hostname: "127.0.0.1", port: port! });
await conn.write(new TextEncoder().encode(OPTION));
const read = new Uint8Array(65_536);
await conn.read(read);
const answers = (async () => {
  while (await conn.read(read) !== null);
})().catch(() => {});
const one = ping(1);
const pings = new Uint8Array(one.length * 30_000);
for (let at = 0; at < pings.length; at += one.length) pings.set(one, at);
const end = performance.now() + ms!;
for (let sent = 0; performance.now() < end; sent %= pings.length) {
  sent += await conn.write(pings.subarray(sent));
}
conn.close();
await answers;
