// Scenarios in simulated time: the real client and server over the simulated network, the same way for the same seed, and
// what a failure says.

import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { connect, Server } from "../../mod.ts";
import { type Address, simulate, type Simulation, SimulationError } from "../../testing/mod.ts";

Deno.test("simulate: RPC over HTTP CONNECT goes over it too, and peers have the names of their hosts", () =>
  simulate(async ({ network }) => {
    const peers: string[] = [];
    const authenticate = (_token: unknown, peer: string) => peers.push(peer) > 0;
    await using server = new Server({ network: network.host("b"), authenticate }).register("S", {
      ok: () => "ok",
    });
    const { address } = await server.listen("http@b:0");
    await using client = await connect(address, { network: network.host("a") });
    assertEquals(await client.call("S.ok"), "ok");
    assertEquals(peers.map((peer) => peer.split(":")[0]), ["tcp@a"]);
  }));

/** A scenario with much at random, and what happened in it. */
function busy(seed: number): Promise<string> {
  return simulate(async ({ network, random, sleep }) => {
    network.shape({ delay: [1, 30], chunk: [1, 20], refuse: 0.2 });
    await using server = new Server({ network: network.host("b") }).register("S", {
      work: async (ms: number) => {
        await sleep(ms);
        return ms;
      },
    });
    await server.listen("tcp@b:1");
    const connecting = connect("tcp@b:1", { network: network.host("a") });
    await using client = await connecting.catch(() => connect("tcp@b:1", { network: network.host("a") }));
    for (let n = 0; n < 30; n++) {
      const call = client.call("S.work", Math.floor(random() * 50), { timeout: 40 });
      network.note(await call.then(String, ({ code }) => code));
      if (n % 10 === 9) network.cut();
    }
    return network.trace;
  }, { seed, traceLimit: 100_000 });
}

Deno.test("simulate: the same seed gives the same run, another seed another", async () => {
  const [one, again, other] = [await busy(5), await busy(5), await busy(6)];
  assert(one.split("\n").length > 200, "hardly anything happened");
  assertEquals(one, again);
  assert(one !== other);
});

Deno.test("simulate: a failure names the seed, the time and the last events", async () => {
  const error = await assertRejects(
    () =>
      simulate(async ({ network, sleep }) => {
        const b: Address = { transport: "tcp", hostname: "b", port: 1 };
        const listener = network.host("b").listen(b);
        const near = await network.host("a").dial(b, new AbortController().signal);
        const far = await listener.accept();
        await near.write(new TextEncoder().encode("hello"));
        await sleep(1_500);
        network.note("the last straw");
        await far!.read(new Uint8Array(10));
        throw new RangeError("what went wrong");
      }, { seed: 99, traceLimit: 3 }),
    SimulationError,
    "Failed with seed 99 at 1.500 s: what went wrong",
  );
  assertEquals(error.seed, 99);
  assertEquals(error.trace.split("\n"), [
    "(1 earlier events)",
    "0.000 s  #1 b:1 accepts",
    "0.000 s  #1 a → b: 5 bytes",
    "1.500 s  the last straw",
  ]);
  assert(error.message.endsWith(error.trace));
  assert(error.cause instanceof RangeError);
});

Deno.test("simulate: an error outside the scenario's promise fails the scenario, with its seed", async () => {
  const scenario = async ({ sleep }: Simulation) => {
    const onTheSide = async () => {
      await sleep(100);
      throw new RangeError("on the side");
    };
    onTheSide();
    await sleep(10_000);
  };
  await assertRejects(
    () => simulate(scenario, { seed: 3 }),
    SimulationError,
    "seed 3 at 0.100 s: on the side",
  );
  const late = ({ sleep }: Simulation) => {
    setTimeout(() => {
      throw new RangeError("in a timer");
    }, 50);
    return sleep(10_000);
  };
  await assertRejects(() => simulate(late), SimulationError, "seed 1 at 0.050 s: in a timer");
});

Deno.test("simulate: crypto's random numbers are the seed's, and refused as crypto does", async () => {
  const draw = (seed: number) =>
    simulate(() => {
      const filled = new Uint16Array(new ArrayBuffer(64), 8, 4);
      assert(crypto.getRandomValues(filled) === filled);
      assertEquals(new Uint8Array(filled.buffer, 0, 8), new Uint8Array(8));
      assertThrows(() => crypto.getRandomValues(new Uint8Array(65_537)), DOMException);
      assertThrows(() => crypto.getRandomValues(new Float64Array(1) as unknown as Uint8Array), DOMException);
      return Promise.resolve([...filled, crypto.randomUUID(), crypto.randomUUID(), Math.random()]);
    }, { seed });
  const before = [crypto.getRandomValues, crypto.randomUUID];
  const [one, again, other] = [await draw(1), await draw(1), await draw(2)];
  assertEquals(one, again);
  const values = [...one, ...other];
  assertEquals(new Set(values).size, values.length);
  for (const uuid of [one[4], one[5], other[4]]) {
    assertMatch(String(uuid), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  }
  assertEquals([crypto.getRandomValues, crypto.randomUUID], before);
});

Deno.test("simulate: a scenario that takes too long or sets time back is an error, and all is put back", async () => {
  const random = Math.random;
  const before = setTimeout;
  await assertRejects(() => simulate(({ sleep }) => sleep(101), { limit: 100 }), SimulationError, "100 ms");
  await assertRejects(() => simulate(({ time }) => time.tick(1)), SimulationError, "already being advanced");
  assertEquals(await simulate(({ seed }) => seed), 1);
  assertEquals([Math.random, setTimeout], [random, before]);
});
