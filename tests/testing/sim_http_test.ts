// HTTP on the simulated network: requests, answers, and answers that go on, such as a registry's stream of events.

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { simulate, type Simulation } from "../../testing/mod.ts";

Deno.test("simulated network: HTTP takes its time, waits for partitions and ends with its signal", () =>
  simulate(async ({ network, time, sleep }) => {
    const [a, b] = [network.host("a"), network.host("b")];
    network.shape({ delay: 50 });
    const echo = async (request: Request) => new Response(`${request.method} ${await request.text()}`);
    using _web = b.serve(80, echo);
    assertThrows(() => b.serve(80, echo), Deno.errors.AddrInUse);
    assertThrows(() => b.serve(0, echo), RangeError, "port 0");
    const answer = await a.fetch("http://b/", { method: "POST", body: "hello" });
    assertEquals([await answer.text(), time.now], ["POST hello", 100]);
    await assertRejects(() => a.fetch("http://b:81/"), TypeError, "refused");
    await assertRejects(() => a.fetch("https://b/"), TypeError, "only http");
    network.stall("b", "a");
    const held = a.fetch("http://b/");
    const late = assertRejects(
      () => a.fetch("http://b/", { signal: AbortSignal.timeout(500) }),
      DOMException,
    );
    await late;
    await sleep(1_000);
    network.heal();
    assertEquals(await (await held).text(), "GET ");
  }));

/** A host with an endless answer, to which more is added as it goes, and one that reads it. */
async function streaming({ network }: Simulation) {
  const [a, b] = [network.host("a"), network.host("b")];
  let source: ReadableStreamDefaultController<Uint8Array>;
  let left = false;
  const body = () =>
    new ReadableStream<Uint8Array>({
      start: (controller) => void (source = controller),
      cancel: () => void (left = true),
    });
  const web = b.serve(80, () => new Response(body(), { status: 203, headers: { "x-kind": "events" } }));
  const stop = new AbortController();
  const answer = await a.fetch("http://b/", { signal: stop.signal });
  assertEquals([answer.status, answer.headers.get("x-kind")], [203, "events"]);
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  return {
    stop,
    reader,
    say: (text: string) => source.enqueue(new TextEncoder().encode(text)),
    end: (error?: Error) => error ? source.error(error) : source.close(),
    left: () => left,
    [Symbol.dispose]: () => web[Symbol.dispose](),
  };
}

Deno.test("simulated network: an HTTP answer that goes on takes its time and waits for partitions, piece by piece", () =>
  simulate(async (sim) => {
    const { network, time, sleep } = sim;
    network.shape({ delay: 50 });
    using web = await streaming(sim);
    web.say("one");
    assertEquals([await web.reader.read(), time.now], [{ done: false, value: "one" }, 150]);
    network.partition("a", "b");
    web.say("two");
    const held = web.reader.read();
    await sleep(1_000);
    network.heal();
    assertEquals([await held, time.now], [{ done: false, value: "two" }, 1_150]);
    web.say("three");
    web.end();
    assertEquals([(await web.reader.read()).value, (await web.reader.read()).done, time.now], [
      "three",
      true,
      1_200,
    ]);
    await sleep(50);
    assertEquals(network.connections, 0);
  }));

Deno.test("simulated network: an HTTP answer that goes on ends at both ends when one end leaves, fails or is cut", () =>
  simulate(async (sim) => {
    const { network, time, sleep } = sim;
    network.shape({ delay: 50 });
    for (const how of ["cancel", "abort", "cut", "fail"] as const) {
      using web = await streaming(sim);
      web.say("one");
      await web.reader.read();
      const began = time.now;
      if (how === "cancel") await web.reader.cancel();
      if (how === "abort") web.stop.abort(new Error("enough"));
      if (how === "cut") assertEquals(network.cut("a"), 1);
      if (how === "fail") web.end(new Error("no more"));
      if (how === "abort") await assertRejects(() => web.reader.read(), Error, "enough");
      if (how === "cut" || how === "fail") {
        await assertRejects(() => web.reader.read(), TypeError, "error reading");
      }
      assertEquals(time.now - began, how === "fail" ? 50 : 0);
      await sleep(50);
      assertEquals([how, web.left(), network.connections], [how, how !== "fail", 0]);
    }
  }));

Deno.test("simulated network: a server with a half-open HTTP connection sees no error, and its answer is lost", () =>
  simulate(async (sim) => {
    const { network, sleep } = sim;
    using web = await streaming(sim);
    assertEquals(network.halfOpen("b"), 1);
    await assertRejects(() => web.reader.read(), TypeError, "error reading");
    web.say("x".repeat(100_000));
    await sleep(1_000);
    assertEquals([web.left(), network.connections], [false, 1]);
    // Its maker gives it up, though it is stuck.
    web.end(new Error("stalled"));
    await sleep(0);
    assertEquals(network.connections, 0);
  }));
