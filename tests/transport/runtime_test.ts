// What a runtime has and has not. That clients run without Deno is everywhere_test.ts.

import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { adviceForOldDeno, tooOld } from "../../transport/runtime.ts";
import { connect } from "../../client/mod.ts";
import { Server } from "../../server/mod.ts";

Deno.test("runtime: Deno is too old before 2.9.5", () => {
  for (const version of ["1.46.3", "2.0.0", "2.8.3", "2.9.0", "2.9.4", "2.9.4+abc"]) {
    assertEquals([version, tooOld(version)], [version, true]);
  }
  for (const version of ["2.9.5", "2.9.6", "2.9.5+0123abc", "2.10.0", "2.10.0-rc.1", "3.0.0"]) {
    assertEquals([version, tooOld(version)], [version, false]);
  }
  assertEquals(adviceForOldDeno(), undefined);
});

Deno.test("runtime: a server that listens in a Deno that is too old says so", async () => {
  const log: string[] = [];
  const own = Object.getOwnPropertyDescriptor(Deno, "version")!;
  Object.defineProperty(Deno, "version", { ...own, value: { ...Deno.version, deno: "2.9.4" } });
  try {
    await using server = new Server({ log: (line) => log.push(line) });
    await server.listen("tcp@127.0.0.1:0");
  } finally {
    Object.defineProperty(Deno, "version", own);
  }
  assertEquals(log.length, 1);
  assertMatch(log[0]!, /^Deno 2\.9\.4 leaks sockets of closed connections; use 2\.9\.5 or later$/);
});

Deno.test("runtime: in a Deno that would ignore it, the certificate of a client is an error that says so", async () => {
  const pem = (name: string) => Deno.readTextFileSync(new URL(`../certs/${name}`, import.meta.url));
  const tls = { cert: pem("client.pem"), key: pem("client.key") };
  const own = Object.getOwnPropertyDescriptor(Deno, "version")!;
  Object.defineProperty(Deno, "version", { ...own, value: { ...Deno.version, deno: "2.4.5" } });
  try {
    const message = "Deno 2.4.5 ignores the option tls.cert; use 2.5.0 or later";
    await assertRejects(() => connect("tls@127.0.0.1:1", { tls }), Error, message);
  } finally {
    Object.defineProperty(Deno, "version", own);
  }
});

Deno.test("runtime: certificates of clients are not asked for in a Deno that is too old", async () => {
  const pem = (name: string) => Deno.readTextFileSync(new URL(`../certs/${name}`, import.meta.url));
  const tls = { cert: pem("server.pem"), key: pem("server.key") };
  const clientCaCerts = [pem("client_ca.pem")];
  const own = Object.getOwnPropertyDescriptor(Deno, "version")!;
  Object.defineProperty(Deno, "version", { ...own, value: { ...Deno.version, deno: "2.9.4" } });
  try {
    await using mutual = new Server({ tls: { ...tls, clientCaCerts } });
    const message = "127.0.0.1:0: the option tls.clientCaCerts requires Deno 2.9.5 or later";
    await assertRejects(() => mutual.listen("tls@127.0.0.1:0"), TypeError, message);
    await using server = new Server({ tls });
    const listening = await server.listen("tls@127.0.0.1:0");
    assertThrows(() => listening.renew({ clientCaCerts }), TypeError, "requires Deno 2.9.5 or later");
  } finally {
    Object.defineProperty(Deno, "version", own);
  }
});
