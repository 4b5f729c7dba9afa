// The simulated network: its Conns have the manners of sockets, and each fault does what it says.

import { assert, assertEquals, assertLess, assertRejects, assertThrows } from "@std/assert";
import { connect, Server } from "../../mod.ts";
import { type Conn, type Listener, SimNetwork, simulate, type Simulation } from "../../testing/mod.ts";
import { parseAddress } from "../../discovery/endpoint.ts";

const NEVER = new AbortController().signal;
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (text: string) => new TextEncoder().encode(text);

/** Dials from `a` to `b`, where `listener` listens. */
async function dial(network: SimNetwork, listener: Listener): Promise<[Conn, Conn]> {
  const address = parseAddress(`tcp@b:${listener.port}`);
  const [near, far] = await Promise.all([network.host("a").dial(address, NEVER), listener.accept()]);
  return [near, far!];
}

function listen(network: SimNetwork): Listener {
  network.host("a");
  return network.host("b").listen(parseAddress("tcp@b:0", { listen: true }));
}

/** Two ends between the hosts `a` and `b`, for a scenario. */
function withConns(test: (a: Conn, b: Conn, sim: Simulation) => Promise<void>): () => Promise<void> {
  return () =>
    simulate(async (sim) => {
      const listener = listen(sim.network);
      const [a, b] = await dial(sim.network, listener);
      await test(a, b, sim);
      a.close();
      b.close();
      listener.close();
      assertEquals(sim.network.connections, 0);
    });
}

async function read(conn: Conn, size = 100): Promise<string | null> {
  const into = new Uint8Array(size);
  const count = await conn.read(into);
  return count === null ? null : text(into.subarray(0, count));
}

Deno.test(
  "simulated network: bytes arrive in order after their delay, followed by the end",
  withConns(async (a, b, { network, time }) => {
    network.shape({ delay: [5, 50] });
    for (const part of ["one", "two", "three"]) assertEquals(await a.write(bytes(part)), part.length);
    await a.closeWrite();
    await assertRejects(() => a.write(bytes("late")), Error, "this side of the connection has ended");
    let all = "";
    for (let part = await read(b); part !== null; part = await read(b)) {
      assert(all !== "" || time.now >= 5);
      all += part;
    }
    assertEquals(all, "onetwothree");
    assertLess(time.now, 201);
    // The other direction stays open.
    await b.write(bytes("back"));
    assertEquals(await read(a), "back");
  }),
);

Deno.test(
  "simulated network: writes are split, and each direction has conditions of its own",
  withConns(async (a, b, { network, time }) => {
    network.shape({ chunk: [1, 4] }, "a", "b");
    network.shape({ delay: 100 }, "b", "a");
    const sizes = new Set<number>();
    for (let n = 0; n < 100; n++) sizes.add(await a.write(bytes("12345678")));
    assertEquals([...sizes].sort(), [1, 2, 3]);
    assertEquals(time.now, 0);
    await b.write(bytes("12345678"));
    assertEquals([await read(a), time.now], ["12345678", 100]);
  }),
);

Deno.test(
  "simulated network: bandwidth spreads bytes over time",
  withConns(async (a, b, { network, time }) => {
    network.shape({ bandwidth: 1_000, delay: 10 });
    await a.write(new Uint8Array(500));
    await a.write(new Uint8Array(250));
    await read(b, 500);
    assertEquals(time.now, 510);
    await read(b, 500);
    assertEquals(time.now, 760);
  }),
);

Deno.test(
  "simulated network: a writer waits for a reader that does not read",
  withConns(async (a, b, { network, sleep }) => {
    network.shape({ window: 1_000, delay: 1 });
    assertEquals([await a.write(new Uint8Array(700)), await a.write(new Uint8Array(700))], [700, 300]);
    let taken = 0;
    const third = a.write(new Uint8Array(700)).then((count) => taken = count);
    await sleep(10_000);
    assertEquals(taken, 0);
    await read(b, 200);
    assertEquals(await third, 200);
  }),
);

Deno.test(
  "simulated network: closing over unread input resets, closing otherwise ends",
  withConns(async (a, b, { network }) => {
    await a.write(bytes("unread"));
    b.close();
    await assertRejects(() => read(a), Deno.errors.ConnectionReset);
    await assertRejects(() => a.write(bytes("more")), Deno.errors.ConnectionReset);
    const listener = listen(network);
    const [c, d] = await dial(network, listener);
    d.close();
    assertEquals(await read(c), null);
    // What is sent to a closed socket comes back as a reset.
    network.shape({ delay: 10 });
    await c.write(bytes("nobody reads this"));
    await new Promise((resolve) => setTimeout(resolve, 21));
    await assertRejects(() => c.write(bytes("more")), Deno.errors.ConnectionReset);
    await assertRejects(() => d.read(new Uint8Array(1)), Error, "Connection closed");
    c.close();
    listener.close();
  }),
);

Deno.test(
  "simulated network: a reset overtakes what is under way",
  withConns(async (a, b, { network, time }) => {
    await b.write(bytes("unread"));
    network.shape({ delay: 100, bandwidth: 1 });
    await a.write(bytes("slow"));
    a.close();
    await assertRejects(() => read(b), Deno.errors.ConnectionReset);
    assertEquals(time.now, 100);
  }),
);

Deno.test(
  "simulated network: a cut resets both ends at once",
  withConns(async (a, b, { network, time }) => {
    network.shape({ delay: 1_000 });
    await a.write(bytes("lost"));
    const reading = [
      assertRejects(() => read(a), Error, "reset"),
      assertRejects(() => read(b), Error, "reset"),
    ];
    network.host("c");
    assertEquals([network.cut("c"), network.cut("b", "c"), network.cut("b", "a"), time.now], [0, 0, 1, 0]);
    await Promise.all(reading);
    await assertRejects(() => a.write(bytes("more")), Error, "reset");
  }),
);

Deno.test(
  "simulated network: a partition holds everything, and healing delivers it",
  withConns(async (a, b, { network, time, sleep }) => {
    network.shape({ delay: 10 });
    await a.write(bytes("under way, "));
    network.partition("a");
    await a.write(bytes("written meanwhile"));
    const arrived: [string | null, number][] = [];
    const reading = (async () => {
      for (let n = 0; n < 2; n++) arrived.push([await read(b), time.now]);
    })();
    await sleep(60_000);
    assertEquals(arrived, []);
    network.heal();
    await reading;
    assertEquals(arrived, [["under way, ", 60_000], ["written meanwhile", 60_000]]);
  }),
);

Deno.test(
  "simulated network: a stall holds one direction",
  withConns(async (a, b, { network, sleep }) => {
    network.stall("a", "b");
    await a.write(bytes("there"));
    await b.write(bytes("back"));
    assertEquals(await read(a), "back");
    let heard = false;
    const reading = read(b).then((text) => (heard = true, text));
    await sleep(1_000);
    assertEquals(heard, false);
    network.heal();
    assertEquals(await reading, "there");
  }),
);

Deno.test(
  "simulated network: one end of a half-open connection sees no error",
  withConns(async (a, b, { network, sleep }) => {
    await b.write(bytes("before"));
    assertEquals(network.halfOpen("a"), 1);
    await assertRejects(() => read(b), Error, "reset");
    assertEquals([await read(a), await a.write(bytes("into the void"))], ["before", 13]);
    let ended = false;
    read(a).catch(() => {}).then(() => ended = true);
    network.heal();
    await sleep(3_600_000 - 1);
    assertEquals(ended, false);
    // A new connection between the same hosts is fine.
    const listener = listen(network);
    const [c, d] = await dial(network, listener);
    await c.write(bytes("hello"));
    assertEquals(await read(d), "hello");
    for (const end of [c, d, listener]) end.close();
  }),
);

Deno.test("simulated network: with a range of connect delays later dials are done first", () =>
  simulate(async ({ network }) => {
    network.shape({ connectDelay: [1, 100] });
    const listener = listen(network);
    const done: number[] = [];
    const dials = Array.from({ length: 10 }, async (_, n) => {
      const ends = await dial(network, listener);
      done.push(n);
      return ends;
    });
    const conns = (await Promise.all(dials)).flat();
    assertEquals(done.toSorted((a, b) => a - b), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert(done.some((n, place) => n !== place), "they were done in order");
    for (const conn of conns) conn.close();
    listener.close();
  }));

Deno.test("simulated network: dials are refused without a listener, by a random share, or held by a partition", () =>
  simulate(async ({ network, time, sleep }) => {
    const listener = listen(network);
    const to = (address: string) => network.host("a").dial(parseAddress(address), NEVER);
    await assertRejects(() => to("tcp@b:1"), Deno.errors.ConnectionRefused, "b:1");
    await assertRejects(() => to("tcp@nowhere:1"), TypeError, 'Unknown host "nowhere"');
    await assertRejects(() => to(`tls@b:${listener.port}`), TypeError, "not simulated");
    network.shape({ refuse: 0.5 });
    const dials = Array.from({ length: 200 }, () => to(`tcp@b:${listener.port}`));
    const refused = (await Promise.allSettled(dials)).filter(({ status }) => status === "rejected").length;
    assert(refused > 70 && refused < 130, `${refused} of 200`);
    for (let n = refused; n < 200; n++) (await listener.accept())!.close();
    for (const conn of await Promise.allSettled(dials)) if (conn.status === "fulfilled") conn.value.close();
    network.shape({ refuse: 0 });

    network.partition("a", "b");
    const stop = new AbortController();
    const address = parseAddress(`tcp@b:${listener.port}`);
    const given = assertRejects(() => network.host("a").dial(address, stop.signal), Error, "enough");
    const held = to(`tcp@b:${listener.port}`);
    await sleep(5_000);
    stop.abort(new Error("enough"));
    await given;
    await sleep(5_000);
    network.heal();
    (await held).close();
    assertEquals(time.now, 10_000);
    (await listener.accept())!.close();
    const waiting = to(`tcp@b:${listener.port}`);
    const conn = await waiting;
    listener.close();
    assertEquals([await listener.accept(), await read(conn)], [null, null]);
    conn.close();
    assertEquals(network.connections, 0);
  }));

Deno.test("simulated network: wrong arguments are refused", () => {
  const network = new SimNetwork();
  network.host("a");
  assertThrows(() => new SimNetwork({ seed: 0.5 }), RangeError, "seed 0.5");
  assertThrows(() => new SimNetwork({ traceLimit: 0 }), RangeError, "traceLimit 0");
  for (const name of ["", "A", "a b", "a:1", "-a"]) {
    assertThrows(() => network.host(name), TypeError, "Cannot create host");
  }
  assertThrows(() => network.partition("a", "x"), TypeError, 'Unknown host "x"');
  assertThrows(() => network.cut("x"), TypeError, 'Unknown host "x"');
  assertThrows(() => network.shape({}, "a"), TypeError, "the hosts that they lead to");
  assertThrows(() => network.shape({ delay: -1 }), RangeError, "delay");
  assertThrows(() => network.shape({ delay: [2, 1] }), RangeError, "in ascending order");
  assertThrows(() => network.shape({ delay: "1" as unknown as number }), TypeError, "delay");
  assertThrows(() => network.shape({ chunk: 0 }), RangeError, "chunk");
  assertThrows(() => network.shape({ bandwidth: 0 }), RangeError, "bandwidth");
  assertThrows(() => network.shape({ window: 0 }), RangeError, "window");
  assertThrows(() => network.shape({ refuse: 2 }), RangeError, "refuse");
  const there = parseAddress("tcp@c:1");
  assertThrows(() => network.host("a").listen(there), TypeError, "this is the host a");
  const bad = { dial() {} } as never;
  assertThrows(() => new Server({ network: bad }), TypeError, "Cannot use network");
});

Deno.test("simulated network: a bad delay of a function is an error where it is drawn", async () => {
  const network = new SimNetwork();
  const listener = listen(network);
  network.shape({ delay: () => NaN });
  await assertRejects(() => dial(network, listener), RangeError, "delay NaN");
  listener.close();
});

Deno.test("simulated network: a server says where it cannot listen, and a client where it cannot dial", async () => {
  const network = new SimNetwork();
  await using server = new Server({ network: network.host("a") });
  await assertRejects(
    () => server.listen("tcp@b:1"),
    TypeError,
    "Cannot listen on tcp@b:1: this is the host a",
  );
  await assertRejects(() => server.listen("unix@/tmp/x"), TypeError, "not simulated");
  await server.listen("tcp@0.0.0.0:1");
  await assertRejects(() => server.listen("tcp@a:1"), Deno.errors.AddrInUse, "port 1 of a is in use");
  const options = { network: network.host("b") };
  await assertRejects(
    () => connect("tcp@c:1", options),
    Error,
    'Cannot connect to tcp@c:1: Unknown host "c"',
  );
  await assertRejects(() => connect("tcp@a:2", options), Error, "Connection refused by a:2");
  await using client = await connect("tcp@a:1", options);
  assertEquals(client.stats().endpoints[0]!.state, "ready");
});
