// deno-lint-ignore-file no-console -- what it prints is how it talks to the driver
// One side of one measurement, as a process of its own, so that nothing but the socket is shared. main.ts starts it:
//   worker.ts server rpc|raw                  prints PORT; then, for every byte on stdin, its resident memory
//   worker.ts client rpc|raw PORT OUTSTANDING prints calls a second
//   worker.ts idle   rpc|raw PORT COUNT       opens COUNT connections, makes a call on each, prints READY, stays

import { connect, Server } from "../mod.ts";

const WARM_MS = 500;
const RUN_MS = 1_500;
/** A raw "call": as many bytes as a small call of ours has on the wire. */
const RAW_BYTES = 36;

const [role, peer, port, count] = [Deno.args[0], Deno.args[1], Number(Deno.args[2]), Number(Deno.args[3])];

interface Sum {
  sum: number;
}

/** Keeps `outstanding` calls in flight and counts those that end within the measured time. */
async function measure(call: (i: number) => Promise<void>, outstanding: number): Promise<number> {
  const begin = performance.now() + WARM_MS;
  const end = begin + RUN_MS;
  let calls = 0;
  await Promise.all(Array.from({ length: outstanding }, async () => {
    for (let i = 0;; i++) {
      await call(i);
      // Asking for the time costs as much as a tenth of a call.
      if (outstanding > 1 && (i & 15) !== 0) continue;
      const now = performance.now();
      if (now >= end) return;
      if (now >= begin) calls += outstanding > 1 ? 16 : 1;
    }
  }));
  return calls / (RUN_MS / 1_000);
}

/** The least that any protocol does: bytes there, as many bytes back, all that wait in one write. */
async function measureRaw(outstanding: number): Promise<number> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port });
  conn.setNoDelay(true);
  const request = new Uint8Array(RAW_BYTES * outstanding);
  const answer = new Uint8Array(65_536);
  const begin = performance.now() + WARM_MS;
  const end = begin + RUN_MS;
  let calls = 0;
  for (let now = 0; now < end; now = performance.now()) {
    for (let sent = 0; sent < request.length;) sent += await conn.write(request.subarray(sent));
    for (let got = 0; got < request.length;) got += await conn.read(answer) ?? Deno.exit(1);
    if (now >= begin) calls += outstanding;
  }
  conn.close();
  return calls / (RUN_MS / 1_000);
}

async function serve(): Promise<number> {
  if (peer === "rpc") {
    const server = new Server();
    server.register("Arith", { sum: ({ a, b }: { a: number; b: number }): Sum => ({ sum: a + b }) });
    const { address } = await server.listen("tcp@127.0.0.1:0");
    return Number(address.slice(address.lastIndexOf(":") + 1));
  }
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  echo(listener);
  return listener.addr.port;
}

async function echo(listener: Deno.Listener<Deno.TcpConn>): Promise<void> {
  for await (const conn of listener) {
    conn.setNoDelay(true);
    (async () => {
      const buffer = new Uint8Array(1_024 * 8);
      for (let count; (count = await conn.read(buffer)) !== null;) {
        for (let sent = 0; sent < count;) sent += await conn.write(buffer.subarray(sent, count));
      }
      conn.close();
    })();
  }
}

async function openIdle(): Promise<void> {
  for (let i = 0; i < count; i++) {
    if (peer === "rpc") {
      const client = await connect(`tcp@127.0.0.1:${port}`);
      await client.call("Arith.sum", { a: i, b: 1 });
    } else {
      const conn = await Deno.connect({ hostname: "127.0.0.1", port });
      await conn.write(new Uint8Array(RAW_BYTES));
      await conn.read(new Uint8Array(RAW_BYTES));
    }
  }
}

switch (role) {
  case "server": {
    console.log(await serve());
    for await (const chunk of Deno.stdin.readable) {
      for (const _ of chunk) console.log(Deno.memoryUsage().rss);
    }
    Deno.exit();
    break;
  }
  case "client": {
    if (peer === "raw") {
      console.log(await measureRaw(count));
    } else {
      const client = await connect(`tcp@127.0.0.1:${port}`);
      const calls = await measure(async (i) => {
        const { sum } = await client.call<Sum>("Arith.sum", { a: i, b: 2 });
        if (sum !== i + 2) throw new Error(`Got ${sum} for ${i} + 2`);
      }, count);
      console.log(calls);
    }
    Deno.exit();
    break;
  }
  case "idle":
    await openIdle();
    console.log("READY");
    await Deno.stdin.readable.pipeTo(new WritableStream());
    Deno.exit();
}
