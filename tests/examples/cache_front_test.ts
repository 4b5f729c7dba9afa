// The cache example seen from outside: what its HTTP and RPC sides answer to bad input, its page, its flags, its speed.

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { connect, MultiServers, RpcError, Server } from "@troodon/rpc";
import { front } from "../../examples/cache/front.ts";
import { Group } from "../../examples/cache/group.ts";
import { startNode } from "../../examples/cache/node.ts";
import { Peers } from "../../examples/cache/peers.ts";
import { ask, cacheCommand, Cluster } from "../support/cache_process.ts";
import { fails } from "../support/session_pair.ts";
import { testOnLinux, testOnPosix } from "../support/platform.ts";
import { until } from "../support/waiting.ts";

const fail = (code: RpcError["code"]) => () => Promise.reject(new RpcError(code, "No such luck"));

function serve(self = "tcp@127.0.0.1:1") {
  const groups = [
    new Group("words", (key) => key === "none" ? undefined : new TextEncoder().encode(`<${key}>`)),
    new Group("busy", fail("unavailable")),
    new Group("late", fail("deadline_exceeded")),
    new Group("broken", () => Promise.reject(new Error("password is 123"))),
  ];
  const peers = () => [{ address: self, state: "this one" }];
  const handle = front({ self, groups: new Map(groups.map((group) => [group.name, group])), peers });
  return (path: string, init?: RequestInit) => handle(new Request(`http://127.0.0.1${path}`, init));
}

Deno.test("cache: HTTP answers with the unchanged value and its source", async () => {
  const get = serve();
  for (const from of ["getter", "main"]) {
    const response = await get("/api?group=words&key=a%2Fb%20%C3%A9%26");
    assertEquals([response.status, response.headers.get("x-cache")], [200, from]);
    // A stranger's bytes must not be taken for a page.
    assertEquals(response.headers.get("content-type"), "application/octet-stream");
    assertEquals(response.headers.get("x-content-type-options"), "nosniff");
    assertEquals(await response.text(), "<a/b é&>");
  }
});

Deno.test("cache: each kind of bad HTTP input has a clear answer", async () => {
  const get = serve();
  const bad: [path: string, status: number, message: string, init?: RequestInit][] = [
    ["/api", 400, "Cannot look up a value without a group: expected one of words, busy, late, broken"],
    [
      "/api?group=words",
      400,
      "Cannot look up a value without a key: expected, for example, ?group=scores&key=Tom",
    ],
    ["/api?group=words&key=", 400, "Cannot look up a value without a key"],
    [
      `/api?group=words&key=${"x".repeat(513)}`,
      400,
      "Cannot look up a key of 513 characters: expected at most 512",
    ],
    ["/api?group=constructor&key=a", 404, 'Cannot find the group "constructor": the groups are words, busy'],
    [`/api?group=${"x".repeat(1 << 20)}&key=a`, 404, `Cannot find the group "${"x".repeat(64)}…"`],
    ["/api?group=words&key=none", 404, 'Cannot find "none" in words: there is no such value'],
    ["/api?group=busy&key=a", 503, "No such luck"],
    ["/api?group=late&key=a", 503, "No such luck"],
    ["/api?group=broken&key=a", 502, 'Cannot load "a" of broken: its getter failed'],
    ["/none", 404, "Cannot find this page"],
    ["/api/?group=words&key=a", 404, "Cannot find this page"],
    ["/api?group=words&key=a", 405, "Cannot use this method: expected GET", { method: "DELETE" }],
  ];
  for (const [path, status, message, init] of bad) {
    const response = await get(path, init);
    assertEquals(response.status, status, path.slice(0, 80));
    assertEquals(response.headers.get("content-type"), "application/json");
    assertEquals(response.headers.has("retry-after"), status === 503);
    assertStringIncludes((await response.json()).error.message, message);
  }
});

Deno.test("cache: the path of a request is not taken from its Host header", async () => {
  const get = serve();
  for (const host of ["a/api?group=words&key=a&", "a?", "a#", "a\\api"]) {
    const response = await get("/none", { headers: { host } });
    assertEquals(response.status, 400, host);
    assertStringIncludes((await response.json()).error.message, "Cannot read the header Host");
  }
});

Deno.test("cache: the page shows figures, and escapes the names of peers", async () => {
  const get = serve("tcp@<script>alert('1')</script>&\"");
  await get("/api?group=words&key=a");
  const page = await get("/");
  assertMatch(page.headers.get("content-security-policy")!, /^default-src 'none'/);
  const html = await page.text();
  assertEquals(html.includes("<script"), false);
  assertStringIncludes(html, "tcp@&#60;script&#62;alert(&#39;1&#39;)&#60;/script&#62;&#38;&#34;");
  assertStringIncludes(html, "<tr><td>words</td><td>1</td><td>0</td><td>0</td><td>1</td><td>1</td>");
  assertStringIncludes(html, "<title>Cache at tcp@");
  assertStringIncludes(html, "<td>69 B</td><td>64.0 MiB</td>");
  const { self, groups } = await (await get("/stats")).json();
  assertEquals([self.startsWith("tcp@<script>"), groups.words.loads, groups.words.bytes], [
    true,
    1,
    2 + 3 + 64,
  ]);
});

Deno.test("cache: bad input by RPC is refused, and the peer keeps working", async () => {
  const groups = () => new Map([["words", new Group("words", (key) => new TextEncoder().encode(key))]]);
  const http = { hostname: "127.0.0.1", port: 0 };
  // Nothing listens there: the peer is alone, and ends all the same.
  const registry = "http://127.0.0.1:1";
  await using node = await startNode({ http, rpc: "tcp@127.0.0.1:0", registry, groups });
  await using client = await connect(node.address);
  for (const args of [undefined, 7, {}, { group: 1, key: "a" }]) {
    await fails(client.call("Cache.get", args), "invalid_argument", "expected { group, key }");
  }
  for (const key of [undefined, "", 7]) {
    await fails(client.call("Cache.get", { group: "words", key }), "invalid_argument", "without a key");
  }
  await fails(
    client.call("Cache.get", { group: "none", key: "a" }),
    "failed_precondition",
    "Cannot serve this group: this peer does not have it",
  );
  assertEquals(await client.call("Cache.get", { group: "words", key: "a" }), { value: new Uint8Array([97]) });
  assertEquals((await ask(node.url, "words", "b")).text, "b");
});

Deno.test("cache: a peer that is unreachable or sends invalid answers is not needed", async () => {
  let asked = 0;
  await using rogue = new Server().register("Cache", {
    get: () => [null, 7, {}, { value: "text" }, { value: [1] }][asked++ % 5],
  });
  const { address } = await rogue.listen("tcp@127.0.0.1:0");
  const absent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const servers = new MultiServers([address, `tcp@127.0.0.1:${absent.addr.port}`]);
  absent.close();
  await using peers = await Peers.follow("tcp@127.0.0.1:1", servers);
  const group = new Group("words", (key) => new TextEncoder().encode(key), { peers });
  await until(() => peers.list.length === 2, "the peers to be known");
  for (let i = 0; i < 40; i++) assertEquals((await group.get(String(i))).from, "getter");
  assertEquals([asked > 5 && asked < 40, group.stats().peerFailures], [true, 40]);
});

testOnPosix("cache: invalid flags are one line and code 2; --help explains them all", async () => {
  const bad: [string[], string][] = [
    [["--htp", "x"], "unknown argument --htp"],
    [["x"], "unknown argument x"],
    [["--http", "127.0.0.1:0"], "--http starts one peer, which needs --registry"],
    [["--rpc", "tcp@127.0.0.1:0"], "--rpc starts one peer, which needs --registry"],
    [["--registry", "nowhere"], '--registry: expected a URL such as http://127.0.0.1:9999, got "nowhere"'],
    [
      ["--registry=http://127.0.0.1:1", "--http=8080"],
      '--http: expected HOST:PORT, such as 127.0.0.1:8080, got "8080"',
    ],
    [
      ["--registry=http://127.0.0.1:1", "--http=127.0.0.1:70000"],
      '--http: expected HOST:PORT, such as 127.0.0.1:8080, got "127.0.0.1:70000"',
    ],
    [["--max-bytes", "0"], '--max-bytes: expected a whole number from 1, got "0"'],
    [["--max-bytes=1e6"], '--max-bytes: expected a whole number from 1, got "1e6"'],
  ];
  const decoder = new TextDecoder();
  await Promise.all(bad.map(async ([args, message]) => {
    const { code, stdout, stderr } = await cacheCommand(...args).output();
    assertEquals([code, decoder.decode(stdout)], [2, ""]);
    assertEquals(decoder.decode(stderr), `cache: ${message}; see --help\n`);
  }));
  const { code, stdout } = await cacheCommand("--help").output();
  assertEquals(code, 0);
  for (const flag of ["--registry", "--http", "--rpc", "--max-bytes", "--help"]) {
    assertMatch(decoder.decode(stdout), new RegExp(`^ +${flag} `, "m"));
  }
});

testOnPosix("cache: a peer that cannot start says why, with code 1", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const registry = "--registry=http://127.0.0.1:1";
  const bad: [string, RegExp][] = [
    [`--http=127.0.0.1:${taken.addr.port}`, /^cache: .*in use/im],
    [`--rpc=tcp@127.0.0.1:${taken.addr.port}`, /^cache: Cannot listen on tcp@127.0.0.1:\d+/m],
    ["--rpc=nonsense", /^cache: .*nonsense/m],
  ];
  await Promise.all(bad.map(async ([flag, message]) => {
    const { code, stderr } = await cacheCommand(registry, flag).output();
    assertEquals(code, 1);
    assertMatch(new TextDecoder().decode(stderr), message);
  }));
});

/** Sends requests, 16 at once on each of 8 connections, for some time. Returns how many were answered. */
async function answered(url: string, path: string, ms: number): Promise<number> {
  const request = new TextEncoder().encode(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`.repeat(16));
  const began = performance.now();
  let count = 0;
  await Promise.all(Array.from({ length: 8 }, async () => {
    using conn = await Deno.connect({ hostname: "127.0.0.1", port: Number(new URL(url).port) });
    const buffer = new Uint8Array(65_536);
    const decoder = new TextDecoder();
    while (performance.now() - began < ms) {
      await conn.write(request);
      for (let answers = 0; answers < 16;) {
        const length = await conn.read(buffer);
        answers += decoder.decode(buffer.subarray(0, length!)).split("HTTP/1.1 200").length - 1;
      }
      count += 16;
    }
  }));
  return count;
}

/** The CPU time that a process has taken, in ticks of 10 ms (proc(5)). Not rates: other tests run at the same time. */
async function ticksOf({ pid }: Deno.ChildProcess): Promise<number> {
  const stat = new Deno.Command("sh", { args: ["-c", `cat /proc/${pid}/stat`] });
  const { stdout } = await stat.output();
  const fields = new TextDecoder().decode(stdout).split(") ")[1]!.split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

testOnLinux("cache: a hit costs at most twice the CPU time of a bare Deno.serve", async () => {
  const code = `const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} },
    () => new Response("144\\n")); console.log(server.addr.port)`;
  await using bare = new Deno.Command("deno", {
    args: [
      "run",
      "--quiet",
      "--allow-net=127.0.0.1",
      `data:application/javascript,${encodeURIComponent(code)}`,
    ],
    stdout: "piped",
  }).spawn();
  const lines = bare.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const bareUrl = `http://127.0.0.1:${(await lines.read()).value!.trim()}`;
  await using cluster = await Cluster.start(1);
  const url = cluster.urls[0]!;
  await ask(url, "squares", "12");
  const cost = async (process: Deno.ChildProcess, url: string, path: string) => {
    const before = await ticksOf(process);
    const answers = await answered(url, path, 400);
    return (await ticksOf(process) - before) / answers;
  };
  // In turn, until three rounds have shown it: the first rounds compile.
  const ratios: number[] = [];
  for (let shown = 0; shown < 3;) {
    const bares = await cost(bare, bareUrl, "/");
    const ratio = await cost(cluster.process(0), url, "/api?group=squares&key=12") / bares;
    if (ratio <= 2) shown++;
    ratios.push(ratio);
    assertEquals(
      ratios.length < 20,
      true,
      `CPU time of a hit, relative to a bare answer: ${ratios.join(", ")}`,
    );
  }
  bare.kill();
  await lines.cancel();
});
