// A registry that wants to fill a client's memory or keep it busy: bounds on the lines and bytes of an event, on the
// servers of a list, and on how long the event loop is kept.

import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { jsonPieces } from "../../discovery/json_pieces.ts";
import { RegistryDiscovery, type RegistryDiscoveryOptions } from "../../discovery/registry_discovery.ts";
import { MAX_SERVERS, parseServerList } from "../../discovery/registry_list.ts";
import { TimeSlice } from "../../discovery/time_slice.ts";
import { REGISTRY_URL } from "../support/registry_link.ts";
import { settle } from "../support/fake_clock.ts";
import { until } from "../support/waiting.ts";

/** A discovery whose registry answers with a stream of this text, then keeps the stream open. */
function streamOf(parts: Iterable<string>, options: RegistryDiscoveryOptions = {}) {
  let taken = 0;
  const texts = Iterator.from(parts);
  const fetch = () =>
    Promise.resolve(
      new Response(
        new ReadableStream({
          async pull(to) {
            const { done, value } = texts.next();
            // Until the reader cancels.
            if (done) return await new Promise<void>(() => {});
            taken++;
            to.enqueue(new TextEncoder().encode(value));
          },
        }),
        { headers: { "content-type": "text/event-stream" } },
      ),
    );
  const discovery = new RegistryDiscovery(REGISTRY_URL, { fetch, ...options });
  return { discovery, taken: () => taken };
}

/** Why a discovery has no list. */
async function failureOf(discovery: RegistryDiscovery): Promise<string> {
  const watch = discovery.watch()[Symbol.asyncIterator]();
  const next = watch.next();
  await until(() => discovery.failure?.message.includes("has not answered yet") === false, "a failure");
  await watch.return?.();
  await next;
  await settle();
  return discovery.failure!.message;
}

function* forever(text: string): Generator<string> {
  for (;;) yield text;
}

Deno.test("RegistryDiscovery: an event of endless short lines ends the stream, with a reason", async () => {
  for (const line of ["data:x\n", ":\n", "data\n"]) {
    const { discovery, taken } = streamOf(forever(line.repeat(100)));
    assertStringIncludes(await failureOf(discovery), "an event has more than 1024 lines");
    assert(taken() < 50, `${taken()} parts were taken`);
  }
});

Deno.test("RegistryDiscovery: the bytes of an event count, also those that are passed over", async () => {
  for (const line of ["data:", "", "other:", ":"]) {
    const { discovery, taken } = streamOf(forever(`${line}${"x".repeat(999)}\n`), { maxListBytes: 20_000 });
    assertStringIncludes(await failureOf(discovery), "an answer or event is longer than 20000 bytes");
    assert(taken() < 50, `${taken()} parts were taken`);
  }
});

Deno.test("RegistryDiscovery: bytes are counted for each event, not for the stream", async () => {
  const list = 'event: list\ndata: {"revision":1,"servers":[{"address":"tcp@127.0.0.1:1"}]}\n\n';
  const comments = Array.from({ length: 2_000 }, () => ":\n\n");
  const { discovery } = streamOf([...comments, list], { maxListBytes: 200 });
  const watch = discovery.watch()[Symbol.asyncIterator]();
  assertEquals((await watch.next()).value, [{ address: "tcp@127.0.0.1:1" }]);
  await watch.return?.();
  // On a slow machine the reader of the stream has just yielded.
  await settle();
});

function listOf(count: number): string {
  const servers = Array.from({ length: count }, (_, i) => ({ address: `tcp@10.0.${i >> 8}.${i & 255}:1` }));
  return JSON.stringify({ revision: 1, servers });
}

Deno.test("RegistryDiscovery: a list of more servers than there may be is refused, in an answer and as an event", async () => {
  const reason = `the list has more than ${MAX_SERVERS} servers`;
  const tooMany = listOf(MAX_SERVERS + 100);
  const fetch = () => Promise.resolve(new Response(tooMany));
  const discovery = new RegistryDiscovery(REGISTRY_URL, { fetch });
  const error = await assertRejects(() => discovery.endpoints(), RpcError, reason);
  assertEquals(error.code, "unavailable");
  const stream = streamOf([`event: list\ndata: ${tooMany}\n\n`]);
  assertStringIncludes(await failureOf(stream.discovery), reason);
  assertEquals((await parseServerList(listOf(MAX_SERVERS)))?.endpoints.length, MAX_SERVERS);
});

Deno.test("parseServerList: yields to the event loop between servers when its time slice is over", async () => {
  let rests = 0;
  const turns = {
    expired: true,
    yieldIfDue: () => {
      rests++;
      return Promise.resolve();
    },
  };
  assertEquals((await parseServerList(listOf(100), turns))?.endpoints.length, 100);
  // The revision, and the array, are parts of their own.
  assertEquals(rests, 102);
});

Deno.test("TimeSlice: work runs for 10 ms without a break, waiting does not count, and a break is a turn of the event loop", async () => {
  let time = 0;
  const turns = new TimeSlice({ now: () => time });
  time += 9;
  assertEquals(turns.expired, false);
  await turns.wait(Promise.resolve());
  time += 1;
  assertEquals(turns.expired, true, "a read that ends at once does not reset it");
  let others = false;
  setTimeout(() => others = true, 0);
  await turns.yieldIfDue();
  assertEquals([others, turns.expired], [true, false]);
  time += 9;
  await turns.wait(Promise.resolve().then(() => time += 100));
  time += 9;
  assertEquals(turns.expired, false);
});

const OBJECTS = [
  "{}",
  " { } ",
  '{"a":1}',
  '{"a":[]}',
  '{"a":[ 1 , "x" ,{"b":[1,2,{"c":"]"}]}, [] ]}',
  '{"revision":7,"servers":[{"address":"a"},{"address":"b"}],"ttl":null}',
  '{"a\\"b":"\\\\","c":"}\\u0022,"}',
  '{"a":-1.5e3,"b":true,"c":"","d":{}}',
];

/** The object that pieces are put together to. */
function joined(text: string): unknown {
  const fields = new Map<string, unknown>();
  for (const { field, text: json, isElement } of jsonPieces(text)) {
    if (isElement) (fields.get(field) as unknown[]).push(JSON.parse(json));
    else fields.set(field, JSON.parse(json));
  }
  return Object.fromEntries(fields);
}

Deno.test("jsonPieces: the pieces make the object that the text stands for", () => {
  for (const text of OBJECTS) assertEquals(joined(text), JSON.parse(text), text);
});

Deno.test("jsonPieces: a text that is not an object is refused, wherever it is cut or extended", () => {
  const wrong = new Set([
    "",
    "[]",
    "1",
    "null",
    "{,}",
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    '{"a":[1,]}',
    '{"a":[,1]}',
    "{1:2}",
  ]);
  for (const text of OBJECTS) {
    for (let end = 0; end < text.trimEnd().length; end++) wrong.add(text.slice(0, end));
    for (const more of ["}", ",", "]", "1", " {}"]) wrong.add(text + more);
  }
  for (const text of wrong) assertThrows(() => joined(text), SyntaxError, undefined, text);
});

Deno.test("jsonPieces: a value or an element that is too long is refused", () => {
  const long = `"${"x".repeat(200_000)}"`;
  for (const text of [`{"a":${long}}`, `{"a":[${long}]}`, `{"a":${"[".repeat(200_000)}`, `{${long}:1}`]) {
    assertThrows(() => joined(text), RangeError, "131072");
  }
});
