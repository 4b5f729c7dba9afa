// The example in examples/shortener when its master is killed with SIGKILL, as real processes that are used over HTTP.

import { assert, assertEquals } from "@std/assert";
import { Registry } from "../../mod.ts";
import { folder, follow, lastingPort, Node, put } from "../support/shortener_process.ts";
import { testOnPosix } from "../support/platform.ts";
import { until } from "../support/waiting.ts";

/** A master that is killed and started again in the same place. */
class Phoenix implements AsyncDisposable {
  #node: Node;
  readonly #args: string[];
  /** Resolves when it is up. */
  up: Promise<unknown> = Promise.resolve();

  private constructor(node: Node, args: string[]) {
    this.#node = node;
    this.#args = args;
  }

  static async start(file: string): Promise<Phoenix> {
    const args = ["--http", lastingPort(), "--rpc", lastingPort(), "--file", file];
    return new Phoenix(await Node.start(...args), args);
  }

  get url(): string {
    return this.#node.url;
  }

  get rpc(): string {
    return this.#node.rpc;
  }

  /** Kills it, does something while it is away, and starts it again. */
  async killed(meanwhile: () => Promise<void> = async () => {}): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.up = promise;
    await this.#node.end("SIGKILL");
    await meanwhile();
    this.#node = await Node.start(...this.#args);
    resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#node[Symbol.asyncDispose]();
  }
}

/** Writes that never stop, and what was acknowledged of them. */
class Load {
  readonly acknowledged = new Map<string, string>();
  /** Answers that there must not be. */
  readonly wrong: string[] = [];
  refused = 0;
  #counter = 0;
  #stopped = false;
  readonly #writers: Promise<void>[];

  constructor(urls: readonly string[], writers: number, up: () => Promise<unknown>) {
    this.#writers = Array.from({ length: writers }, (_, i) => this.#write(urls[i % urls.length]!, up));
  }

  /** Waits until so many more writes are acknowledged. */
  async more(count: number): Promise<void> {
    const goal = this.acknowledged.size + count;
    await until(() => Promise.resolve(this.acknowledged.size >= goal), `${count} more writes`);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#writers);
    assertEquals(this.wrong, []);
  }

  async #write(url: string, up: () => Promise<unknown>): Promise<void> {
    while (!this.#stopped) {
      const long = `https://example.com/${this.#counter++}`;
      try {
        const key = await put(url, long);
        if (key === undefined) {
          this.refused++;
          await new Promise((resolve) => setTimeout(resolve, 50));
          continue;
        }
        // No key is given to two URLs, before and after a kill.
        if (this.acknowledged.has(key)) this.wrong.push(`${key} for two`);
        this.acknowledged.set(key, long);
      } catch (error) {
        // The connection broke; anything else is a wrong answer.
        if (!(error instanceof TypeError)) this.wrong.push(`${error}`);
        this.refused++;
        await up();
      }
    }
  }
}

/** Waits until a replica has found its master again: its pauses between attempts grow to 12 s. */
async function reached(url: string): Promise<void> {
  await until(
    async () => await put(url, "https://example.com/back") !== undefined,
    "the master",
  );
}

/** Asks for all keys, many at once. */
async function lost(url: string, acknowledged: ReadonlyMap<string, string>): Promise<string[]> {
  const wrong: string[] = [];
  const entries = acknowledged.entries();
  await Promise.all(Array.from({ length: 16 }, async () => {
    for (const [key, long] of entries) {
      const got = await follow(url, key);
      if (got !== long) wrong.push(`${key}: ${got}, not ${long}`);
    }
  }));
  return wrong;
}

testOnPosix(
  "shortener: no acknowledged write is lost when the master is killed 20 times under load",
  async () => {
    await using dir = await folder();
    await using master = await Phoenix.start(dir.file);
    const load = new Load([master.url], 16, () => master.up);
    for (let kill = 0; kill < 20; kill++) {
      await load.more(1 + Math.floor(Math.random() * 200));
      await master.killed();
    }
    await load.more(1);
    await load.stop();
    assert(load.refused >= 20, `only ${load.refused} writes met a kill`);
    assertEquals(await lost(master.url, load.acknowledged), []);
  },
);

testOnPosix(
  "shortener: replicas serve cached keys while the master is away, and write when it is back",
  async () => {
    await using dir = await folder();
    await using master = await Phoenix.start(dir.file);
    await using one = await Node.start("--http", "0", "--master", master.rpc);
    await using two = await Node.start("--http", "0", "--master", `tcp@${master.rpc}`);
    const load = new Load([one.url, two.url], 8, () => Promise.resolve());
    await load.more(200);
    for (let kill = 0; kill < 3; kill++) {
      await master.killed(async () => {
        const known = await put(one.url, "https://example.com/away");
        assertEquals(known, undefined);
        const refusedBefore = load.refused;
        for (const [key, long] of [...load.acknowledged].slice(0, 50)) {
          // Whichever wrote it has it. The other has it, or says that it cannot know now.
          const both = await Promise.all([one, two].map(({ url }) => follow(url, key)));
          assert(both.includes(long), `${key}: ${both}`);
          assertEquals(both.filter((got) => got !== long && got !== 503), []);
        }
        assertEquals(await follow(one.url, "zzzz"), 503);
        assertEquals(await follow(one.url, "no/key"), 404);
        await until(() => Promise.resolve(load.refused > refusedBefore), "writes to be refused");
      });
      await load.more(100);
    }
    await load.stop();
    for (const { url } of [one, two]) await reached(url);
    for (const { url } of [master, one, two]) assertEquals(await lost(url, load.acknowledged), []);
    // By now each has them all in memory.
    await master.killed(async () => {
      for (const { url } of [one, two]) assertEquals(await lost(url, load.acknowledged), []);
    });
  },
);

testOnPosix("shortener: a replica starts without its master, and finds it later", async () => {
  await using dir = await folder();
  const rpc = lastingPort();
  await using replica = await Node.start("--http", "0", "--master", `127.0.0.1:${rpc}`);
  assertEquals(await put(replica.url, "https://example.com/"), undefined);
  assertEquals(await follow(replica.url, "1000"), 503);
  await using _master = await Node.start("--http", "0", "--rpc", rpc, "--file", dir.file);
  await reached(replica.url);
  assertEquals(await follow(replica.url, "1000"), "https://example.com/back");
});

testOnPosix(
  "shortener: by the registry, a replica finds the master and its successor",
  async () => {
    await using dir = await folder();
    await using registry = new Registry({ ttl: 1_000 });
    await using web = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
    const url = `http://127.0.0.1:${web.addr.port}`;
    const start = () => Node.start("--http", "0", "--rpc", "0", "--file", dir.file, "--registry", url);
    await using replica = await Node.start("--http", "0", "--registry", url);
    assertEquals(await put(replica.url, "https://example.com/0"), undefined);
    const keys = new Map<string, string>();
    for (const end of ["SIGKILL", "SIGTERM"] as const) {
      await using master = await start();
      const long = `https://example.com/${end}`;
      let key: string | undefined;
      await until(async () => (key = await put(replica.url, long)) !== undefined, "a master");
      keys.set(key!, long);
      await master.end(end);
      assertEquals(await put(replica.url, "https://example.com/0"), undefined);
    }
    await using master = await start();
    assertEquals(keys.size, 2);
    assertEquals(await lost(replica.url, keys), []);
    assertEquals(await lost(master.url, keys), []);
  },
);
