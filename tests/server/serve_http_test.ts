// Serving HTTP through times without free file descriptors, when Deno gives up listening.

import { assertEquals, assertThrows } from "@std/assert";
import { serveHttp } from "../../registry/serve.ts";
import { until } from "../support/waiting.ts";

/** In the place of `Deno.serve`, one whose servers fail when a test says so. */
function failing() {
  const { serve } = Deno;
  const ports: (number | undefined)[] = [];
  let fail: (error: Error) => void = () => {};
  let refused = 0;
  const listen = (options: Deno.ServeTcpOptions, handler: Deno.ServeHandler<Deno.NetAddr>) => {
    ports.push(options.port);
    if (refused-- > 0) throw new Error("Too many open files");
    const server = serve(options, handler);
    const finished = Promise.withResolvers<void>();
    fail = (error) => void server.shutdown().then(() => finished.reject(error));
    server.finished.then(finished.resolve);
    return { addr: server.addr, finished: finished.promise, shutdown: () => server.shutdown() };
  };
  Object.defineProperty(Deno, "serve", { value: listen, configurable: true, writable: true });
  return {
    ports,
    fail: () => fail(new Error("Too many open files")),
    refuse: (times: number) => refused = times,
    [Symbol.dispose]: () =>
      Object.defineProperty(Deno, "serve", { value: serve, configurable: true, writable: true }),
  };
}

async function textAt(port: number): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: "close" } });
  return await response.text();
}

Deno.test("serveHttp: it listens again on its port when accepting has failed, as often as it takes", async () => {
  using deno = failing();
  const { ports, fail, refuse } = deno;
  const logged: string[] = [];
  const log = (message: string) => void logged.push(message);
  const server = serveHttp({ hostname: "127.0.0.1", port: 0, log }, () => new Response("here"));
  const { port } = server.addr;
  assertEquals(await textAt(port), "here");
  refuse(2);
  fail();
  await until(() => ports.length === 4, "listening again");
  assertEquals(await textAt(port), "here");
  assertEquals(ports, [0, port, port, port]);
  assertEquals(logged, [`Cannot accept connections on port ${port}, retrying: Too many open files`]);
  await server.shutdown();
});

Deno.test("serveHttp: shutting down while it waits to listen again ends the wait", async () => {
  using deno = failing();
  const { ports, fail, refuse } = deno;
  const server = serveHttp({ hostname: "127.0.0.1", port: 0 }, () => new Response());
  refuse(Infinity);
  fail();
  await until(() => ports.length >= 3, "trying to listen");
  await server.shutdown();
});

Deno.test("serveHttp: a port in use is an error at once", async () => {
  await using first = serveHttp({ hostname: "127.0.0.1", port: 0 }, () => new Response());
  const { port } = first.addr;
  assertThrows(
    () => serveHttp({ hostname: "127.0.0.1", port }, () => new Response()),
    Deno.errors.AddrInUse,
  );
});
