// The handshake as a client sees it: whatever a server answers, `connect` resolves or rejects with a reason, and
// closes what it does not use.

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { RpcError } from "../../call/error.ts";
import { connect, type ConnectOptions } from "../../client/mod.ts";
import { headerOf } from "../support/frames.ts";
import { bytes, RawPeer } from "../support/raw_peer.ts";
import { soon } from "../support/waiting.ts";

const ANSWER = {
  magicNumber: 3_927_900,
  version: 1,
  codecType: "application/cbor",
  handleTimeout: 0,
  maxFrameBytes: 65_536,
  maxInFlight: 16,
  heartbeatInterval: 0,
};

/** The answer, changed. */
function answer(change: Record<string, unknown> = {}): Uint8Array {
  return bytes(JSON.stringify({ ...ANSWER, ...change }), "\n");
}

/** A raw server that handles one connection as a test says. */
async function against<T>(
  serve: (peer: RawPeer, option: string) => Promise<void>,
  use: (address: string) => Promise<T>,
): Promise<T> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    using peer = RawPeer.of(await listener.accept());
    const option = await peer.line();
    await serve(peer, option ?? "");
    // Whatever came of it, the client is to let go of the socket.
    await soon(peer.gone(), "the client to close its socket");
  })();
  try {
    const result = await use(`tcp@127.0.0.1:${listener.addr.port}`);
    await serving;
    return result;
  } finally {
    listener.close();
  }
}

function refusal(serve: (peer: RawPeer) => Promise<void>, options?: ConnectOptions): Promise<RpcError> {
  return against(serve, (address) => assertRejects(() => connect(address, options), RpcError));
}

Deno.test("connect: sends the documented option line with the given options", async () => {
  const all = {
    codecType: "application/json",
    connectTimeout: 5_000,
    handleTimeout: 7,
    maxFrameBytes: 65_536,
    token: "é",
  };
  const none = {
    codecType: "application/cbor",
    connectTimeout: 10_000,
    handleTimeout: 0,
    maxFrameBytes: 4_194_304,
  };
  const cases: [ConnectOptions, typeof none][] = [[{}, none], [all, all]];
  for (const [options, fields] of cases) {
    let option = "";
    await against(async (peer, line) => {
      option = line;
      await peer.send(answer({ codecType: fields.codecType }));
    }, async (address) => {
      await using client = await connect(address, options);
      assertEquals(client.stats().endpoints.length, 1);
    });
    assertEquals(JSON.parse(option), { magicNumber: 3_927_900, version: 1, ...fields });
  }
});

Deno.test("connect: an answer in any number of pieces is the same answer", async () => {
  const line = answer();
  for (const cuts of [[1], [2, 3, 50], Array.from(line.keys()).slice(1)]) {
    await against((peer) => peer.sendCut(line, cuts), async (address) => {
      await (await connect(address)).close();
    });
  }
});

Deno.test("connect: a refusal arrives with the server's code and message", async () => {
  for (const code of ["unauthenticated", "resource_exhausted", "unavailable", "unimplemented"]) {
    const error = await refusal((peer) =>
      peer.send(bytes(JSON.stringify({ error: { code, message: "Not you" } }), "\n"))
    );
    assertEquals({ code: error.code, remote: error.remote, notStarted: error.notStarted }, {
      code: code as RpcError["code"],
      remote: true,
      notStarted: true,
    });
    assertStringIncludes(error.message, "Not you");
    assertStringIncludes(error.message, "tcp@127.0.0.1:");
  }
});

Deno.test("connect: a refusal sent before the option was read is reported too", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    using peer = RawPeer.of(await listener.accept());
    await peer.send('{"error":{"code":"resource_exhausted","message":"Full"}}\n');
    await peer.gone();
  })();
  const error = await assertRejects(() => connect(`tcp@127.0.0.1:${listener.addr.port}`), RpcError, "Full");
  assertEquals(error.code, "resource_exhausted");
  await serving;
  listener.close();
});

const BAD_ANSWERS: [string, Uint8Array, RpcError["code"]][] = [
  ["another magic number", answer({ magicNumber: 1 }), "invalid_argument"],
  ["another version", answer({ version: 2 }), "unimplemented"],
  ["another codec", answer({ codecType: "application/json" }), "unimplemented"],
  ["a field too few", answer({ maxInFlight: undefined }), "invalid_argument"],
  ["a field of a wrong type", answer({ maxFrameBytes: "65536" }), "invalid_argument"],
  ["room for no call", answer({ maxInFlight: 0 }), "invalid_argument"],
  ["room for no frame", answer({ maxFrameBytes: 100 }), "invalid_argument"],
  ["an empty line", bytes("\n"), "invalid_argument"],
  ["text", bytes("220 mail.example.org ESMTP\r\n"), "invalid_argument"],
  ["an array", bytes("[]\n"), "invalid_argument"],
  ["bytes that are not UTF-8", bytes(0x7b, 0xff, 0x7d, 10), "invalid_argument"],
  ["a line over 4096 bytes", bytes(`{"x":"${"y".repeat(4_096)}"}\n`), "resource_exhausted"],
  ["a line without end", bytes(" ".repeat(65_536)), "resource_exhausted"],
];

for (const [what, line, code] of BAD_ANSWERS) {
  Deno.test(`connect: an answer with ${what} is refused`, async () => {
    const error = await refusal((peer) => peer.send(line).catch(() => {}));
    assertEquals(
      { code: error.code, notStarted: error.notStarted },
      { code, notStarted: true },
      error.message,
    );
    assert(error.message.length < 300, error.message);
  });
}

Deno.test("connect: a silent server is given up after connectTimeout", async () => {
  const began = performance.now();
  const error = await refusal(() => Promise.resolve(), { connectTimeout: 150 });
  const took = performance.now() - began;
  assertEquals({ code: error.code, notStarted: error.notStarted }, { code: "unavailable", notStarted: true });
  assert(took > 140, `${took} ms`);
});

Deno.test("connect: a byte now and then does not extend connectTimeout", async () => {
  const error = await refusal(async (peer) => {
    try {
      for (;;) {
        await peer.send(" ");
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    } catch {
      // The client has gone.
    }
  }, { connectTimeout: 150 });
  assertEquals(error.code, "unavailable");
});

Deno.test("connect: a server that ends the connection instead of answering is unavailable", async () => {
  const ways: ((peer: RawPeer) => Promise<void>)[] = [
    (peer) => peer.end(),
    (peer) => Promise.resolve(peer.close()),
    async (peer) => {
      await peer.send('{"magicNumber":39279');
      await peer.end();
    },
  ];
  for (const way of ways) {
    const error = await refusal(async (peer) => {
      await way(peer);
    });
    assertEquals({ code: error.code, notStarted: error.notStarted }, {
      code: "unavailable",
      notStarted: true,
    }, error.message);
  }
});

Deno.test("connect: anything but frames after the answer fails the call, and the server receives the reason", async () => {
  await against(async (peer) => {
    await peer.send(answer());
    assertEquals((await peer.frame())?.header.slice(0, 3), headerOf.call(1, "A.b"));
    await peer.send("HTTP/1.1 400 Bad Request\r\n\r\n");
    // The call is over for the client: no more than GoAway need come.
    assertEquals((await peer.rest()).at(-1)?.header.slice(0, 3), headerOf.goAway(0, "invalid_argument"));
  }, async (address) => {
    await using client = await connect(address);
    const error = await assertRejects(() => client.call("A.b"), RpcError);
    assertEquals({ code: error.code, notStarted: error.notStarted }, {
      code: "unavailable",
      notStarted: false,
    });
  });
});
