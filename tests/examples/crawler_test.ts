// The crawler as its users run it: processes of their own that are killed, join, and are stopped.

import { assertEquals, assertGreaterOrEqual, assertMatch, assertStringIncludes } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { connect, MultiServers, Registry, RegistryDiscovery, Server } from "../../mod.ts";
import { type Child, startChild } from "../../examples/crawler/child.ts";
import { ItemSaver, PageWorker } from "../../examples/crawler/contract.ts";
import { type CrawlOptions, Engine } from "../../examples/crawler/engine.ts";
import { saverServer } from "../../examples/crawler/saver.ts";
import { Site } from "../../examples/crawler/site.ts";
import { Store } from "../../examples/crawler/store.ts";
import { workerServer } from "../../examples/crawler/worker.ts";
import { testOnPosix } from "../support/platform.ts";
import { soon, until } from "../support/waiting.ts";

const MAIN = new URL("../../examples/crawler/main.ts", import.meta.url).href;
const never = new AbortController().signal;

const OPTIONS: CrawlOptions = {
  maxPages: 100_000,
  maxDepth: 100,
  delay: 0,
  timeout: 1_000,
  maxBytes: 2 ** 20,
  retries: 1,
  allHosts: false,
  log: () => {},
};

/** Paths that were asked for more often than once, by how much in all. */
function repeats(hits: ReadonlyMap<string, number>): number {
  let more = 0;
  for (const [path, times] of hits) if (/^\/(p|slow|circle|old)/.test(path)) more += times - 1;
  return more;
}

async function addressOf(child: Child): Promise<string> {
  return /tcp@[^ ,]+/.exec(await child.started)![0];
}

testOnPosix(
  "crawler: every page is stored exactly once, with a worker killed and one that joins half way",
  async () => {
    const dir = await Deno.makeTempDir();
    const file = `${dir}/pages.db`;
    await using site = new Site({ pages: 3_000, slow: 200 });
    {
      await using registry = new Registry();
      await using web = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
      const url = `http://127.0.0.1:${web.addr.port}/_rpc_/registry`;
      await using stack = new AsyncDisposableStack();
      stack.defer(() => registry.close());
      const start = () => stack.use(startChild("worker.ts", ["--registry", url]));
      const saverProcess = stack.use(startChild("saver.ts", ["--registry", url, "--file", file]));
      const workers = [start(), start(), start()];
      await Promise.all([saverProcess, ...workers].map(({ started }) => started));
      await using saver = await connect(new RegistryDiscovery(url, { service: ItemSaver.name }));
      const engine = new Engine(new RegistryDiscovery(url, { service: PageWorker.name }), saver, OPTIONS);
      const crawl = engine.crawl([site.url], never);

      const [victim] = workers as [Child];
      const address = await addressOf(victim);
      const statsOf = (address: string) =>
        engine.progress.workers.find((worker) => worker.address === address);
      await until(() => Promise.resolve(engine.progress.pages >= 1_000), "a third to be done");
      // Stopped, it takes pages and does not answer: once it has all it can take, it dies over them.
      victim.process.kill("SIGSTOP");
      // Answers that it had sent before may still be on their way: it is looked at until none has come for a while.
      let done = -1;
      let quiet = 0;
      const isStuck = () => {
        const stats = statsOf(address);
        quiet = stats?.busy === 4 && stats.done === done ? quiet + 1 : 0;
        done = stats?.done ?? -1;
        return quiet === 10;
      };
      await until(() => Promise.resolve(isStuck()), "the victim to be busy");
      victim.process.kill("SIGKILL");
      const late = start();
      const lateAddress = await addressOf(late);
      const progress = await crawl;

      const stored = site.pages.size;
      assertEquals([progress.pages, progress.queued, progress.running], [stored, 0, 0]);
      assertEquals([progress.givenBack, progress.disallowed], [4, 1]);
      const reasons = [...progress.reasons].filter(([why]) => why !== "HTTP 404").toSorted();
      assertEquals(reasons, [
        ["HTTP 500", 1],
        ["longer than 1048576 bytes", 1],
        ["more than 10 redirects", 1],
        ["no answer within 1000 ms", 1],
        ["not HTML: image/png", 1],
      ]);
      const doneBy = new Map(progress.workers.map(({ address, done }) => [address, done]));
      assertGreaterOrEqual(doneBy.get(lateAddress) ?? 0, 100);
      // What was given back may have been asked for twice, and nothing else.
      assertEquals(repeats(site.hits) <= 4, true, `${repeats(site.hits)} pages were asked for twice`);
      assertEquals([site.hits.get("/private/diary"), site.hits.get("/robots.txt")], [undefined, 1]);
    }
    // The saver has ended: what is in its file is what counts.
    const db = new DatabaseSync(file);
    const rows = db.prepare("SELECT url, saves FROM pages").all() as { url: string; saves: number }[];
    db.close();
    assertEquals(new Set(rows.map(({ url }) => url)), site.pages);
    assertEquals(rows.filter(({ saves }) => saves !== 1), []);
    await Deno.remove(dir, { recursive: true });
  },
);

/** A site of pages, all linked from the first, that answers no request for one before `atOnce` wait. */
class PatientSite implements AsyncDisposable {
  atOnce = 1;
  /** How often it has answered. */
  rounds = 0;
  readonly url: string;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  #waiting: (() => void)[] = [];

  constructor(pages: number) {
    const links = Array.from({ length: pages }, (_, i) => `<a href="/${i}">${i}</a>`).join(" ");
    const headers = { "content-type": "text/html" };
    const options = { hostname: "127.0.0.1", port: 0, onListen: () => {} };
    this.#server = Deno.serve(options, async (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/robots.txt") return new Response("");
      if (pathname === "/") return new Response(links, { headers });
      await this.#turn();
      return new Response("<p>patient", { headers });
    });
    this.url = `http://127.0.0.1:${this.#server.addr.port}/`;
  }

  #turn(): Promise<void> {
    const turn = new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.#waiting.length === this.atOnce) {
      this.rounds++;
      for (const answer of this.#waiting.splice(0)) answer();
    }
    return turn;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#server.shutdown();
  }
}

Deno.test("crawler: four workers fetch four times as many pages at once as one", async () => {
  await using stack = new AsyncDisposableStack();
  const site = stack.use(new PatientSite(160));
  const workers = [0, 1, 2, 3].map(() => stack.use(startChild("worker.ts", ["--slots", "2"])));
  const addresses = await Promise.all(workers.map(addressOf));
  using store = new Store(":memory:");
  const server = stack.use(saverServer(store));
  const saver = stack.use(await connect((await server.listen("tcp@127.0.0.1:0")).address));
  const rounds = async (hosts: string[], atOnce: number) => {
    Object.assign(site, { atOnce, rounds: 0 });
    const engine = new Engine(new MultiServers(hosts), saver, { ...OPTIONS, timeout: 60_000 });
    const { pages } = await soon(engine.crawl([site.url], never), `${atOnce} pages at once`);
    assertEquals(pages, 161);
    return site.rounds;
  };
  assertEquals(await rounds(addresses.slice(0, 1), 2), 80);
  assertEquals(await rounds(addresses, 8), 20);
});

Deno.test("crawler: waits for a saver that goes away, and stores every page", async () => {
  await using site = new Site({ pages: 300, slow: 1 });
  using store = new Store(":memory:");
  await using worker = workerServer(8);
  const { address } = await worker.listen("tcp@127.0.0.1:0");
  let server = saverServer(store);
  const { address: saverAddress } = await server.listen("tcp@127.0.0.1:0");
  await using saver = await connect(saverAddress);
  const lines: string[] = [];
  const engine = new Engine(new MultiServers([address]), saver, {
    ...OPTIONS,
    log: (line) => lines.push(line),
  });
  const crawl = engine.crawl([site.url], never);
  await until(() => Promise.resolve(engine.progress.pages >= 100), "some pages");
  await server.close();
  await until(
    () => Promise.resolve(lines.some((line) => line.startsWith("waiting for the saver"))),
    "it to wait",
  );
  server = saverServer(store);
  await server.listen(saverAddress);
  await crawl;
  await server.shutdown();
  assertEquals(store.count(), site.pages.size);
  assertStringIncludes(lines.join("\n"), "the saver is reachable again");
});

Deno.test("crawler: a page that kills every worker is given up, and the others are crawled", async () => {
  await using site = new Site({ pages: 20, slow: 1 });
  using store = new Store(":memory:");
  await using server = saverServer(store);
  await using saver = await connect((await server.listen("tcp@127.0.0.1:0")).address);
  await using real = workerServer(1);
  await using client = await connect((await real.listen("tcp@127.0.0.1:0")).address);
  const through = client.service(PageWorker);
  // A worker that a page ends, as one that runs out of memory would be.
  const listening: { address: string; server: Server }[] = [];
  const mortal = new MultiServers([]);
  const bear = async () => {
    const server = new Server().register(PageWorker, {
      slots: () => 1,
      fetch: async (job) => {
        if (!job.url.endsWith("/p/7")) return await through.fetch(job);
        await server.close();
        void bear();
        return { kind: "skipped", why: "never arrives" };
      },
      robots: (job) => through.robots(job),
    });
    const { address } = await server.listen("tcp@127.0.0.1:0");
    listening.push({ address, server });
    mortal.update([address]);
  };
  await bear();
  const progress = await new Engine(mortal, saver, OPTIONS).crawl([site.url], never);
  assertEquals(progress.reasons.get("5 workers were lost while fetching it"), 1);
  const missed = [7, 15, 16].map((i) => `${site.url}p/${i}`);
  const stored = new Set(store.search("", 100, 0).map(({ url }) => url));
  assertEquals([...site.pages].filter((url) => !stored.has(url) && !missed.includes(url)), []);
  for (const { server } of listening) await server.close();
});

Deno.test("crawler: --host takes an IPv6 address with and without brackets", async () => {
  for (const host of ["::1", "[::1]"]) {
    await using worker = startChild("worker.ts", ["--host", host]);
    await using saver = startChild("saver.ts", ["--host", host, "--file", ":memory:"]);
    assertMatch(await worker.started, /@\[::1\]:\d+$/);
    assertMatch(await saver.started, /@\[::1\]:\d+, search at http:\/\/\[::1\]:\d+\/$/);
  }
});

Deno.test("crawler: an invalid seed is refused", async () => {
  await using saver = await connect(new MultiServers(["tcp@127.0.0.1:1"]));
  for (const seed of ["javascript:alert(1)", "example.com", `http://x/${"y".repeat(2 ** 20)}`]) {
    const engine = new Engine(new MultiServers([]), saver, OPTIONS);
    const error = await engine.crawl([seed], never).catch((error) => error);
    assertMatch(String(error), /^TypeError: Cannot crawl ".{1,80}": expected an http or https URL$/);
  }
});

function main(...args: string[]): Deno.Command {
  const all = ["run", "-q", "-P=crawler", MAIN, ...args];
  return new Deno.Command("deno", { args: all, stdout: "piped", stderr: "piped" });
}

/** Reads lines until one is as wanted; all that were read. */
async function readUntil(reader: ReadableStreamDefaultReader<string>, wanted: RegExp): Promise<string> {
  let text = "";
  while (!wanted.test(text)) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`It ended after ${JSON.stringify(text)}`);
    text += value;
  }
  return text;
}

testOnPosix(
  "crawler program: one command crawls its own site, serves searches, and exits with code 0",
  async () => {
    await using process = main("--workers=2", "--timeout=800").spawn();
    const errors = process.stderr.cancel();
    const reader = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const text = await readUntil(reader, /until Ctrl-C\n/);
    assertMatch(text, /crawler: 514 pages, 0 queued, 0 running, 13 errors, .* \d+ pages\/s; workers/);
    const search = /search at (\S+)/.exec(text)![1]!;
    const found = await (await fetch(`${search}?q=number17`)).text();
    assertMatch(found, /<mark>number17<\/mark>/);
    assertStringIncludes(found, "1 page of 514 found");
    process.kill("SIGINT");
    assertEquals((await process.status).code, 0);
    await reader.cancel();
    await errors;
    // The saver has ended with it.
    const gone = await fetch(search).then((response) => response.body?.cancel(), () => "gone");
    assertEquals(gone, "gone");
  },
);

testOnPosix(
  "crawler program: takes lists of workers, of which one is away, and ends when it is done",
  async () => {
    await using site = new Site({ pages: 50, slow: 1 });
    await using stack = new AsyncDisposableStack();
    const workers = [0, 1].map(() => stack.use(startChild("worker.ts", [])));
    const saver = stack.use(startChild("saver.ts", ["--file", ":memory:"]));
    const away = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const unused = `127.0.0.1:${away.addr.port}`;
    away.close();
    const hosts = [...(await Promise.all(workers.map(addressOf))).map((address) => address.slice(4)), unused];
    const at = await addressOf(saver);
    const flags = ["--worker-hosts", hosts.join(), "--itemsaver-host", at, "--delay=0", "--timeout=500"];
    const { code, stdout } = await main(...flags, "--retries=1", site.url).output();
    const text = new TextDecoder().decode(stdout);
    assertEquals(code, 0);
    assertMatch(text, new RegExp(`crawler: ${site.pages.size} pages, 0 queued`));
    assertMatch(text, /worker tcp@\S+ is unreachable: /);
    await using client = await connect(at);
    assertEquals(await client.service(ItemSaver).count(), site.pages.size);
  },
);

testOnPosix("crawler program: invalid flags are one line and code 2", async () => {
  const bad: [string[], string][] = [
    [["--wrokers", "1"], "unknown argument --wrokers"],
    [["--workers", "0"], '--workers: expected a whole number from 1 to 64, got "0"'],
    [
      ["--worker-hosts", "a:1"],
      "--worker-hosts and --itemsaver-host must be used together, unless --registry is given",
    ],
    [["--delay=-1"], '--delay: expected a whole number from 0 to 3600000, got "-1"'],
    [["ftp://example.com"], '"ftp://example.com" is not an http or https URL'],
  ];
  const results = await Promise.all(bad.map(([args]) => main(...args).output()));
  for (const [i, { code, stderr }] of results.entries()) {
    const lines = new TextDecoder().decode(stderr).split("\n").filter((line) => line.startsWith("crawler:"));
    assertEquals([code, lines], [2, [`crawler: ${bad[i]![1]}; see --help`]]);
  }
});

Deno.test("crawler: a worker with an invalid number of slots is not used, and an invalid time to wait is ignored", async () => {
  await using site = new Site({ pages: 3, slow: 0 });
  using store = new Store(":memory:");
  await using server = saverServer(store);
  await using saver = await connect((await server.listen("tcp@127.0.0.1:0")).address);
  const lines: string[] = [];
  const log = (line: string) => void lines.push(line);
  for (const slots of [Infinity, NaN, 0.5, 1e9, "4"]) {
    await using liar = new Server().register("PageWorker", {
      slots: () => slots,
      fetch: () => ({ kind: "failed", why: "no", retryable: false, retryAfter: slots }),
      robots: () => ({ text: "" }),
    });
    const stop = new AbortController();
    const { address } = await liar.listen("tcp@127.0.0.1:0");
    const crawl = new Engine(new MultiServers([address]), saver, { ...OPTIONS, log }).crawl(
      [site.url],
      stop.signal,
    );
    await until(() => Promise.resolve(lines.some((line) => line.includes(address))), "a line");
    stop.abort();
    await crawl;
    assertEquals(lines.filter((line) => line.includes(address)), [
      `worker ${address} is unreachable: Cannot use the worker's slots: expected a whole number from 1 to 256`,
    ]);
  }
  await using liar = new Server().register("PageWorker", {
    slots: () => 1,
    fetch: () => ({ kind: "failed", why: "no", retryable: false, retryAfter: Infinity }),
    robots: () => ({ text: "" }),
  });
  const { address } = await liar.listen("tcp@127.0.0.1:0");
  const progress = await new Engine(new MultiServers([address]), saver, OPTIONS).crawl([site.url], never);
  assertEquals(progress.reasons, new Map([["no", 1]]));
});
