// The end of a client: every call settled at once, nothing left, and no call after it.

import { assertEquals } from "@std/assert";
import { connect, MultiServers } from "../../mod.ts";
import { freePort } from "../support/programs.ts";
import { answerHandshake, Link, RawServer } from "../support/service_link.ts";
import { fails, Patient } from "../support/session_pair.ts";
import { soon, until } from "../support/waiting.ts";

Deno.test("close: ends every call at once, and its handlers hear of it", async () => {
  const waiting = new Patient();
  await using link = await Link.open({ wait: waiting.wait });
  const calls = Array.from({ length: 300 }, (_, n) => link.call("wait", null, { idempotent: n % 2 === 0 }));
  const failed = Promise.all(calls.map((call) => fails(call, "unavailable", "The client is closed")));
  await until(() => waiting.started === 300, "all handlers run");
  const closing = link.client.close();
  await soon(failed, "all calls to end");
  await closing;
  await until(() => waiting.reasons.length === 300, "the handlers hear of it");
  assertEquals({ inFlight: link.server.stats().inFlight, started: waiting.started }, {
    inFlight: 0,
    started: 300,
  });
});

Deno.test("close: calls during and after it fail at once and are not sent", async () => {
  await using link = await Link.open({ ok: () => "ok" });
  const { client } = link;
  const closing = client.close();
  const during = await fails(client.call("S.ok"), "unavailable", "The client is closed");
  await fails(client.broadcast("S.ok"), "unavailable", "The client is closed");
  await closing;
  const after = await fails(
    client.call("S.ok", null, { idempotent: true }),
    "unavailable",
    "The client is closed",
  );
  await fails(client.broadcast("S.ok"), "unavailable", "The client is closed");
  await fails(client.service<{ ok(): string }>("S").ok(), "unavailable", "The client is closed");
  assertEquals([during.notStarted, after.notStarted], [true, true]);
  assertEquals(link.counts("ok").calls, 0);
});

Deno.test("close: several times, also at once, and by await using", async () => {
  await using link = await Link.open({ ok: () => "ok" });
  {
    await using client = await connect(link.address);
    assertEquals(await client.call("S.ok"), "ok");
    await Promise.all([client.close(), client.close(), client[Symbol.asyncDispose]()]);
    await client.close();
  }
  await until(() => link.server.stats().connections === 1, "the server has let it go");
});

Deno.test("close: while it is connecting ends the calls that wait for it", async () => {
  await using silent = new RawServer();
  const client = await connect(new MultiServers([silent.address]));
  const calls = Array.from(
    { length: 10 },
    () => fails(client.call("S.ok"), "unavailable", "The client is closed"),
  );
  await until(() => silent.accepted.length === 1, "it is connecting");
  await client.close();
  await Promise.all(calls);
});

Deno.test("close: while it waits to dial again ends at once, and nothing is dialled any more", async () => {
  const address = `tcp@127.0.0.1:${freePort()}`;
  const client = await connect(new MultiServers([address]));
  await fails(client.call("S.ok"), "unavailable", address);
  await client.close();
});

Deno.test("close: of clients that have just connected, however it falls, leaves nothing", async () => {
  await using link = await Link.open({ ok: () => "ok" });
  for (let turns = 0; turns < 60; turns++) {
    const client = await connect(new MultiServers([link.address]));
    const call = client.call("S.ok").catch(() => {});
    for (let turn = 0; turn < turns; turn++) {
      await (turn % 5 ? null : new Promise((resolve) => setTimeout(resolve)));
    }
    await client.close();
    await call;
  }
  await until(() => link.server.stats().connections === 1, "the server has let all of them go");
});

Deno.test("close: over a server that does not end its side takes a second at most", async () => {
  await using stubborn = new RawServer(async (conn) => {
    await answerHandshake(conn);
  });
  const client = await connect(stubborn.address);
  await client.close();
});
