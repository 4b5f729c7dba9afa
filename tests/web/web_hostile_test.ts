// Requests over HTTP that no honest client sends: each is answered or ended, and nothing else is disturbed.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { until } from "../support/waiting.ts";
import { soon } from "../support/waiting.ts";
import { ProbeDoor, probeServer } from "./probe.ts";

/** Sends text over a connection of its own. */
class Raw implements Disposable {
  readonly #conn: Deno.TcpConn;

  private constructor(conn: Deno.TcpConn) {
    this.#conn = conn;
  }

  static async send(door: ProbeDoor, text: string): Promise<Raw> {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port: door.port });
    await conn.write(new TextEncoder().encode(text));
    return new Raw(conn);
  }

  /** What is answered, up to `end`. */
  async until(end: string): Promise<string> {
    let text = "";
    const buffer = new Uint8Array(65_536);
    while (!text.includes(end)) {
      const read = await soon(this.#conn.read(buffer), `${end} after ${text}`);
      if (read === null) break;
      text += new TextDecoder().decode(buffer.subarray(0, read));
    }
    return text;
  }

  [Symbol.dispose](): void {
    this.#conn.close();
  }
}

const POST = "POST /vectors.v1.Probe/sum HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";

async function assertUndisturbed(door: ProbeDoor): Promise<void> {
  assertEquals(await (await door.post("sum", { a: 1, b: 2 })).json(), { sum: 3 });
  assertEquals(door.server.stats().inFlight, 0);
}

for (
  const [what, length] of [["of a known length", 'Content-Length: 13\r\n\r\n{"a"'], [
    "in chunks",
    'Transfer-Encoding: chunked\r\n\r\n2\r\n{"\r\n',
  ]]
) {
  Deno.test(`web hostile: half a body ${what}, and silence, ends after frameTimeout`, async () => {
    await using door = new ProbeDoor(probeServer({ frameTimeout: 500 }));
    using raw = await Raw.send(door, POST + length);
    const answer = await raw.until("}");
    assertStringIncludes(answer, "HTTP/1.1 504");
    assertStringIncludes(answer, "did not arrive in time");
    assertEquals(door.server.stats().limits.frameTimeout, 1);
    await assertUndisturbed(door);
  });
}

Deno.test("web hostile: half a body ends at the call's deadline if that is earlier", async () => {
  await using door = new ProbeDoor();
  using raw = await Raw.send(door, `${POST}Connect-Timeout-Ms: 50\r\nContent-Length: 13\r\n\r\n{`);
  assertStringIncludes(await raw.until("}"), '"code":"deadline_exceeded"');
  await assertUndisturbed(door);
});

Deno.test("web hostile: half an envelope, and silence, ends its stream after frameTimeout", async () => {
  await using door = new ProbeDoor(probeServer({ frameTimeout: 500 }));
  const head = POST.replace("sum", "total").replace("json", "connect+json");
  using raw = await Raw.send(door, `${head}Transfer-Encoding: chunked\r\n\r\n3\r\n\0\0\0\r\n`);
  const answer = await raw.until("0\r\n\r\n");
  assertStringIncludes(answer, "HTTP/1.1 200");
  assertStringIncludes(answer, '"code":"deadline_exceeded"');
  await assertUndisturbed(door);
});

Deno.test("web hostile: a client that leaves in the middle of its body leaves nothing behind", async () => {
  await using door = new ProbeDoor();
  for (const end of ["Content-Length: 13\r\n\r\n{", 'Transfer-Encoding: chunked\r\n\r\n2\r\n{"\r\n']) {
    (await Raw.send(door, POST + end))[Symbol.dispose]();
  }
  await assertUndisturbed(door);
});

Deno.test("web hostile: unusual request lines, hosts and paths are answered", async () => {
  await using door = new ProbeDoor();
  const requests = [
    "GET / HTTP/1.1\r\nHost: a b/c\r\n\r\n",
    `${POST.replace("Host: x", "Host: a b/c")}Content-Length: 2\r\n\r\n{}`,
    "CONNECT a.b:80 HTTP/1.1\r\nHost: a.b:80\r\n\r\n",
    "TRACE /vectors.v1.Probe/sum HTTP/1.1\r\nHost: x\r\n\r\n",
    "FOO /vectors.v1.Probe/sum HTTP/1.1\r\nHost: x\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET http://evil.example/debug/rpc HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST /%zz/%ff HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "POST /vectors.v1.Probe/%73um HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "POST /vectors.v1.Probe/sum?%ff HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "GET /vectors.v1.Probe/look?encoding=json&message=%ff HTTP/1.1\r\nHost: x\r\n\r\n",
  ];
  for (const request of requests) {
    using raw = await Raw.send(door, request);
    const [, status] = /^HTTP\/1\.1 (\d+)/.exec(await raw.until("\r\n\r\n")) ?? [];
    assert(Number(status) >= 200 && Number(status) < 500, `${status} for ${request}`);
  }
  await assertUndisturbed(door);
});

Deno.test("web hostile: an origin of another scheme or port is another origin", async () => {
  await using door = new ProbeDoor();
  for (
    const origin of [
      `http://127.0.0.1:${door.port + 1}`,
      "http://127.0.0.1",
      "null",
      "",
      `x://evil/${door.url}`,
    ]
  ) {
    const { status, body } = await door.post("sum", {}, { origin });
    await body?.cancel();
    assertEquals(status, 403, origin);
  }
  await assertUndisturbed(door);
});

Deno.test("web hostile: a client that does not read a long answer holds no handler", async () => {
  await using door = new ProbeDoor();
  const body = JSON.stringify({ text: "x".repeat(1_000_000) });
  const head = POST.replace("sum", "echo");
  using _raw = await Raw.send(door, `${head}Content-Length: ${body.length}\r\n\r\n${body}`);
  await until(
    () => door.server.stats().methods.find(({ method }) => method.endsWith("echo"))!.latency.count === 1,
    "the answer",
  );
  await assertUndisturbed(door);
});

Deno.test("web hostile: bodies and messages that are too long are counted", async () => {
  await using door = new ProbeDoor();
  const { status, body } = await door.post("echo", "x".repeat(1_048_576));
  await body?.cancel();
  const headers = { "content-type": "application/connect+json" };
  const head = new Uint8Array([0, 0xff, 0xff, 0xff, 0xff]);
  const streamed = await fetch(`${door.url}/vectors.v1.Probe/total`, { method: "POST", headers, body: head });
  assertStringIncludes(await streamed.text(), "resource_exhausted");
  assertEquals([status, door.server.stats().limits.invalidFrames], [429, 2]);
});

Deno.test("web hostile: many peers are forgotten again", async () => {
  await using door = new ProbeDoor(
    probeServer({ authenticate: (token) => token !== undefined && { name: token } }),
  );
  for (let i = 0; i < 1_100; i++) {
    const { status, body } = await door.post("sum", {}, { authorization: `Bearer ${i}` });
    await body?.cancel();
    assertEquals(status, 200);
  }
});
