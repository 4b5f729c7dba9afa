// Calls over one connection: each is answered once, with its own answer, whatever others do.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { CODES, RpcError } from "../../call/error.ts";
import { callOver, fails, testSession } from "../support/session_pair.ts";
import { until } from "../support/waiting.ts";

const ODD_TEXT = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";

testSession("1 000 calls at once get their own answers, in whatever order they are ready", async (open) => {
  await using pair = await open({
    methods: {
      later: (nonce: number) =>
        new Promise((resolve) => setTimeout(() => resolve({ nonce }), (nonce * 7919) % 40)),
    },
  });
  const order: number[] = [];
  const results = await Promise.all(Array.from({ length: 1_000 }, async (_, nonce) => {
    const result = await pair.call("later", nonce);
    order.push(nonce);
    return result;
  }));
  assertEquals(results, Array.from({ length: 1_000 }, (_, nonce) => ({ nonce })));
  assert(order.some((nonce, place) => nonce !== place), "they were answered one after the other");
});

testSession(
  "answers that are ready at once and answers that are not do not wait for each other",
  async (open) => {
    const gate = Promise.withResolvers<void>();
    await using pair = await open({
      methods: {
        slow: () => gate.promise.then(() => "slow"),
        fast: () => "fast",
        open: () => gate.resolve(),
      },
    });
    const slow = pair.call("slow");
    const fast = await Promise.all(Array.from({ length: 100 }, () => pair.call("fast")));
    assertEquals(new Set(fast), new Set(["fast"]));
    assertEquals(await pair.call("open"), undefined);
    assertEquals(await slow, "slow");
  },
);

testSession(
  "an argument that is left out or null arrives as undefined, and both differ within an object",
  async (open) => {
    await using pair = await open({
      methods: {
        type: (args: unknown) => args === null ? "null" : typeof args,
        greet: (name = "you") => `Hello, ${name}!`,
        nothing: () => {},
        null: () => null,
      },
    });
    for (const args of [[], [undefined], [null]]) {
      assertEquals(await pair.call("type", ...args), "undefined");
      assertEquals(await pair.call("greet", ...args), "Hello, you!");
      assertEquals(await pair.call("echo", ...args), undefined);
    }
    assertEquals([await pair.call("nothing"), await pair.call("null")], [undefined, null]);
    assertEquals(await pair.call("echo", { a: undefined, b: null }), { a: undefined, b: null });
  },
);

testSession(
  "each kind of wrong name has an error of its own, and the connection stays open",
  async (open) => {
    await using pair = await open();
    const wrong = {
      "X.echo": 'Unknown service "X"',
      "S.nope": 'Service "S" has no method "nope"',
      "S.constructor": 'Service "S" has no method "constructor"',
      "S.__proto__": 'Service "S" has no method "__proto__"',
      "__proto__.toString": 'Unknown service "__proto__"',
      "echo": "expected a name of the form Service.method",
      "": "expected a name of the form Service.method",
      ".": "expected a name of the form Service.method",
      "S.": "expected a name of the form Service.method",
      ".echo": "expected a name of the form Service.method",
      "S.echo.more": 'Unknown service "S.echo"',
      "s.echo": 'Unknown service "s"',
      [`${"x".repeat(10_000)}.y`]: `Unknown service "${"x".repeat(64)}…"`,
    };
    for (const [name, message] of Object.entries(wrong)) {
      const error = await fails(callOver(pair.dialled, name), "unimplemented", message);
      assertEquals({ remote: error.remote, notStarted: error.notStarted }, {
        remote: true,
        notStarted: true,
      });
      assert(error.message.length < 200);
    }
    assertEquals(await pair.call("echo", 1), 1);
    assertEquals(pair.started, 1);
  },
);

testSession("a side without methods answers that it has none", async (open) => {
  await using pair = await open();
  const error = await fails(callOver(pair.accepted, "S.echo"), "unimplemented", "answers no calls");
  assertEquals(error.notStarted, true);
  assertEquals(await pair.call("echo", 1), 1);
});

testSession("both sides may call, a handler its own caller too", async (open) => {
  await using pair = await open({
    callbacks: { name: () => "the client", double: (n: number) => n * 2 },
    methods: {},
  });
  pair.table.register("Back", {
    greet: async () => `hello, ${await callOver(pair.accepted, "S.name")}`,
  });
  const [greeting, ...doubled] = await Promise.all([
    callOver(pair.dialled, "Back.greet"),
    ...Array.from({ length: 100 }, (_, n) => callOver(pair.accepted, "S.double", n)),
    ...Array.from({ length: 100 }, (_, n) => pair.call("echo", n)),
  ]);
  assertEquals(greeting, "hello, the client");
  assertEquals(doubled, [
    ...Array.from({ length: 100 }, (_, n) => n * 2),
    ...Array.from({ length: 100 }, (_, n) => n),
  ]);
});

const NASTY = {
  get message(): string {
    throw new Error("secret getter");
  },
  toString(): string {
    throw new Error("secret toString");
  },
};

const THROWS: Record<string, () => unknown> = {
  error: () => {
    throw new Error("secret");
  },
  text: () => {
    throw "secret";
  },
  null: () => {
    throw null;
  },
  undefined: () => {
    throw undefined;
  },
  nasty: () => {
    throw NASTY;
  },
  proxy: () => {
    throw new Proxy({}, {
      get() {
        throw new Error("secret trap");
      },
      getPrototypeOf() {
        throw new Error("secret trap");
      },
    });
  },
  aborted: () => {
    throw AbortSignal.abort().reason;
  },
  rejects: () => Promise.reject(new Error("secret")),
  rejectsNasty: () => Promise.reject(NASTY),
  rejectsUndefined: () => Promise.reject(),
  throwsLater: async () => {
    await null;
    throw new Error("secret");
  },
  thenThrows: () => ({
    then() {
      throw new Error("secret");
    },
  }),
  thenIsATrap: () => ({
    get then(): unknown {
      throw new Error("secret");
    },
  }),
  thenRejects: () => ({
    then: (_: unknown, reject: (error: unknown) => void) => reject("secret"),
  }),
  thenRejectsTwice: () => ({
    then(resolve: (value: unknown) => void, reject: (error: unknown) => void) {
      reject("secret");
      reject("secret again");
      resolve("too late");
      throw new Error("secret after all");
    },
  }),
};

testSession("any error thrown by a handler is one internal error without details", async (open) => {
  const logged: unknown[] = [];
  await using pair = await open({
    methods: { ...THROWS, logged: () => logged.length },
    log: (_, error) => logged.push(error),
  });
  for (const name of Object.keys(THROWS)) {
    const error = await fails(pair.call(name), "internal");
    assertEquals(
      { message: error.message, details: error.details, remote: error.remote, notStarted: error.notStarted },
      { message: "The handler failed", details: undefined, remote: true, notStarted: false },
      name,
    );
    assert(!Deno.inspect(error).includes("secret"), name);
  }
  assertEquals(await pair.call("logged"), Object.keys(THROWS).length);
  const stats = pair.table.stats().filter(({ method }) => method.slice(2) in THROWS);
  for (const { method, calls, errors, inFlight } of stats) {
    assertEquals({ method, calls, errors, inFlight }, { method, calls: 1, errors: 1, inFlight: 0 });
  }
});

testSession(
  "a thenable counts as one answer, whatever it does afterwards, and is followed to its end",
  async (open) => {
    await using pair = await open({
      methods: {
        twice: () => ({
          then(resolve: (value: unknown) => void, reject: (error: unknown) => void) {
            resolve("first");
            resolve("second");
            reject("third");
          },
        }),
        promised: () => ({
          then: (resolve: (value: unknown) => void) => resolve(Promise.resolve("in the end")),
        }),
        never: () => ({ then() {} }),
      },
    });
    assertEquals(await pair.call("twice"), "first");
    assertEquals(await pair.call("promised"), "in the end");
    await fails(pair.call("never", null, { timeout: 500 }), "deadline_exceeded");
    assertEquals(
      pair.table.stats().map(({ method, calls, errors, inFlight }) => [method, calls, errors, inFlight]),
      [["S.echo", 0, 0, 0], ["S.twice", 1, 0, 0], ["S.promised", 1, 0, 0], ["S.never", 1, 1, 1]],
    );
  },
);

testSession("code, message and details of an RpcError arrive as they were thrown", async (open) => {
  await using pair = await open({
    methods: {
      fail: ({ code, message, details }) => {
        throw new RpcError(code, message, { details, notStarted: true, cause: "secret" });
      },
    },
  });
  for (const code of CODES) {
    for (const message of [ODD_TEXT, "", "plain"]) {
      const details = { code, list: [1, "two", new Uint8Array([3])] };
      const error = await fails(pair.call("fail", { code, message, details }), code);
      assertEquals({ message: error.message, details: error.details }, { message, details });
      // Only what was never started may say so, whatever a handler claims.
      assertEquals({ remote: error.remote, notStarted: error.notStarted, cause: error.cause }, {
        remote: true,
        notStarted: false,
        cause: undefined,
      });
    }
  }
});

testSession("a message of 10 KiB arrives as its first 8 KiB, cut between characters", async (open) => {
  await using pair = await open({
    methods: {
      fail: (message: string) => {
        throw new RpcError("aborted", message);
      },
    },
  });
  const bytes = (text: string) => new TextEncoder().encode(text).length;
  for (const character of ["x", "é", "☺", "😈"]) {
    const long = "a" + character.repeat(Math.ceil(10_240 / bytes(character)));
    const { message } = await fails(pair.call("fail", long), "aborted");
    assert(long.startsWith(message), "it is not its beginning");
    assert(message.isWellFormed(), "a character was cut in two");
    assert(bytes(message) > 8_192 - bytes(character) && bytes(message) <= 8_192, `${bytes(message)} bytes`);
  }
});

testSession("details that cannot be sent are left out, and the error arrives", async (open) => {
  const cyclic: Record<string, unknown> = {};
  cyclic.self = cyclic;
  const details = {
    function: () => 1,
    symbol: Symbol(),
    cyclic,
    date: new Date(NaN),
    class: new URL("http://a"),
  };
  await using pair = await open({
    methods: {
      fail: (name: keyof typeof details) => {
        throw new RpcError("not_found", name, { details: { deep: [details[name]] } });
      },
      large: () => {
        throw new RpcError("not_found", "large", { details: new Uint8Array(100_000) });
      },
    },
    limits: { maxFrameBytes: 65_536 },
  });
  for (const name of ["function", "symbol", "cyclic", "date", "class"]) {
    const error = await fails(pair.call("fail", name), "not_found", name);
    assertEquals(error.details, undefined);
  }
  assertEquals((await fails(pair.call("large"), "not_found", "large")).details, undefined);
  assertEquals(await pair.call("echo", 1), 1);
});

testSession("a result that cannot be sent fails its own call and no other", async (open) => {
  const cyclic: Record<string, unknown> = { before: "x".repeat(1_000) };
  cyclic.self = cyclic;
  const results: Record<string, unknown> = {
    function: { a: [0, () => 1] },
    symbol: Symbol("s"),
    cyclic,
    date: { when: new Date(NaN) },
    class: new URL("http://a"),
    lone: "\ud800",
    getter: {
      get trap(): unknown {
        throw new Error("no");
      },
    },
  };
  await using pair = await open({
    methods: {
      result: (name: string) => results[name],
      later: (name: string) => Promise.resolve(results[name]),
    },
  });
  for (const method of ["result", "later"]) {
    const names = ["function", "symbol", "cyclic", "date", "class", "lone", "getter"];
    const good = Array.from({ length: 20 }, (_, n) => pair.call("echo", n));
    const bad = names.map((name) => fails(pair.call(method, name), "internal", "Cannot send the result"));
    const more = Array.from({ length: 20 }, (_, n) => pair.call("echo", n));
    const errors = await Promise.all(bad);
    assertStringIncludes(errors[0]!.message, ".a[1]");
    assertEquals(await Promise.all(good), await Promise.all(more));
  }
  assertEquals(pair.table.stats().map(({ calls, errors }) => [calls, errors]), [[80, 0], [7, 7], [7, 7]]);
});

testSession(
  "arguments that cannot be sent are refused with the path to the value, and nothing is sent",
  async (open) => {
    await using pair = await open({
      limits: { maxFrameBytes: 65_536 },
    });
    await pair.call("echo", 1);
    const { written } = pair.dialledConn;
    const wrong: [unknown, string][] = [
      [{ list: [1, { f: () => 1 }] }, "at .list[1].f"],
      [Symbol("s"), "symbols are not supported"],
      [new Map([["a", new Date(NaN)]]), ""],
      [{ "odd name": "\udc00" }, 'at ["odd name"]'],
      [{ url: new URL("http://a") }, "at .url"],
      [{
        get trap(): unknown {
          throw new Error("The getter failed");
        },
      }, "The getter failed"],
    ];
    for (const [args, message] of wrong) {
      const error = await fails(pair.call("echo", args), "invalid_argument", message);
      assertEquals({ remote: error.remote, notStarted: error.notStarted }, {
        remote: false,
        notStarted: true,
      });
    }
    const large = await fails(pair.call("echo", new Uint8Array(65_536)), "resource_exhausted", "65536");
    assertEquals({ remote: large.remote, notStarted: large.notStarted }, { remote: false, notStarted: true });
    const names = Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`n${n}`, "x".repeat(1_000)]));
    await fails(pair.call("echo", 1, { metadata: names }), "resource_exhausted", "16384");
    await fails(callOver(pair.dialled, "S.".padEnd(20_000, "x")), "resource_exhausted", "16384");
    // In one turn with good ones, too.
    const mixed = [
      pair.call("echo", 2),
      fails(pair.call("echo", () => 1), "invalid_argument"),
      pair.call("echo", 3),
    ];
    const [two, , three] = await Promise.all(mixed);
    assertEquals({ two, three }, { two: 2, three: 3 });
    assertEquals(pair.dialledConn.written - written, 2 * written);
  },
);

testSession("a handler sees who calls what, with what metadata, and until when", async (open) => {
  await using pair = await open({
    methods: {
      look: (_, context) => {
        const { method, peer, metadata, deadline } = context;
        return { method, peer: peer.address, metadata, left: deadline - performance.now() };
      },
    },
  });
  const metadata = { text: "☺", bytes: new Uint8Array([1, 2]), "a-_.9": "" };
  const first = await pair.call("look", null, { metadata, timeout: 3_600_000 }) as Record<string, unknown>;
  assertEquals(first.method, "S.look");
  assertEquals(first.peer, pair.acceptedConn.peer);
  assertEquals(first.metadata, new Map(Object.entries(metadata)));
  assert((first.left as number) > 3_000_000 && (first.left as number) <= 3_600_000, `${first.left} ms left`);
  const second = await pair.call("look") as Record<string, unknown>;
  assertEquals({ metadata: second.metadata, left: second.left }, { metadata: new Map(), left: Infinity });
});

testSession("a getter in the arguments may make calls of its own", async (open) => {
  await using pair = await open({ callbacks: { echo: (n: number) => n } });
  const inner: Promise<unknown>[] = [];
  const args = {
    before: 1,
    get calls(): number {
      for (let n = 0; n < 10; n++) inner.push(pair.call("echo", `inner ${n}`));
      return inner.length;
    },
    after: 3,
  };
  assertEquals(await pair.call("echo", args), { before: 1, calls: 10, after: 3 });
  assertEquals(await Promise.all(inner), Array.from({ length: 10 }, (_, n) => `inner ${n}`));
  // Also where the call around them comes to nothing.
  const failing = {
    get calls(): unknown {
      inner.push(pair.call("echo", "still sent"));
      return () => 1;
    },
  };
  await fails(pair.call("echo", failing), "invalid_argument");
  assertEquals(await inner.at(-1), "still sent");
});

testSession("a getter in the arguments may cancel another call", async (open) => {
  const aborted = Promise.withResolvers<unknown>();
  await using pair = await open({
    methods: {
      wait: (_, { signal }) => {
        signal.addEventListener("abort", () => aborted.resolve(signal.reason));
        return new Promise(() => {});
      },
      aborted: async () => (await aborted.promise as RpcError).code,
    },
  });
  const controller = new AbortController();
  const waiting = fails(pair.call("wait", null, { signal: controller.signal }), "canceled");
  await until(() => pair.accepted.running === 1, "the call runs");
  const args = {
    before: "x".repeat(100),
    get cancels(): string {
      controller.abort();
      return "canceled";
    },
    after: [1, 2, 3],
  };
  assertEquals(await pair.call("echo", args), {
    before: "x".repeat(100),
    cancels: "canceled",
    after: [1, 2, 3],
  });
  await waiting;
  assertEquals(await pair.call("aborted"), "canceled");
});

testSession("a getter in the arguments may cancel the call that it is part of", async (open) => {
  await using pair = await open();
  const controller = new AbortController();
  const args = {
    get cancels(): number {
      controller.abort("changed my mind");
      return 1;
    },
  };
  const error = await fails(pair.call("echo", args, { signal: controller.signal }), "canceled");
  assertEquals(error.cause, "changed my mind");
  assertEquals(await pair.call("echo", 1), 1);
});
