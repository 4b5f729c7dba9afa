// The cache example as several processes: one load for all requests, peers that come, go, are killed or hang.

import { assertEquals } from "@std/assert";
import { ask, CacheProcess, Cluster, statsOf } from "../support/cache_process.ts";
import { testOnPosix } from "../support/platform.ts";
import { until } from "../support/waiting.ts";

const square = (key: number) => ({ status: 200, text: `${BigInt(key) ** 2n}\n` });

/** Asks peers in turn for some squares at the same time, and holds the answers against what they should be. */
async function askAll(urls: readonly string[], keys: readonly number[]): Promise<string[]> {
  const answers = await Promise.all(
    keys.map((key, i) => ask(urls[i % urls.length]!, "squares", String(key))),
  );
  assertEquals(answers.map(({ status, text }) => ({ status, text })), keys.map(square));
  return answers.map(({ from }) => from);
}

/** As `askAll`, 500 keys at a time: a peer that is kept busy for seconds is given up by the others. */
async function askMany(urls: readonly string[], keys: readonly number[]): Promise<void> {
  for (let at = 0; at < keys.length; at += 500) await askAll(urls, keys.slice(at, at + 500));
}

const COPIES = new Set(["main", "hot"]);
const range = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i);

testOnPosix(
  "cache: 1000 requests to three peers for one cold key are one load, also after the registry died",
  async () => {
    await using cluster = await Cluster.start(3);
    const { urls } = cluster;
    // A peer that this machine keeps from answering for a second is given up: then the one that asked it loads too.
    const assertLoads = async (count: number) => {
      const loads = await cluster.sum("squares", "loads");
      const failures = await cluster.sum("squares", "peerFailures");
      assertEquals(loads >= count && loads <= count + failures, true, `${loads} loads, ${failures} failures`);
    };
    await askAll(urls, Array(1_000).fill(12));
    await assertLoads(1);
    assertEquals(await cluster.sum("squares", "gets"), 1_000);
    // The two other peers have a copy for five seconds after each answer of the owner's.
    await until(
      async () => new Set(await askAll(urls, [12, 12, 12])).symmetricDifference(COPIES).size === 0,
      "copies at all peers",
    );
    assertEquals((await ask(urls[0]!, "scores", "Tom")).text, "630\n");
    for (const url of urls) assertEquals((await ask(url, "scores", "Tim")).status, 404);
    await cluster.close();
    await askAll(urls, range(100, 1_000));
    await assertLoads(101);
    assertEquals((await statsOf(urls[0]!)).peers.length, 3);
  },
);

testOnPosix("cache: a fifth peer loads a fifth of the keys, the others none", async () => {
  await using cluster = await Cluster.start(4);
  const keys = range(3_000);
  await askMany(cluster.urls, keys);
  assertEquals(await cluster.sum("squares", "loads"), keys.length);

  const newcomer = await cluster.add(cluster.registryUrl);
  await cluster.known(5);
  await askMany([newcomer], keys);
  const moved = (await statsOf(newcomer)).groups.squares!.loads;
  assertEquals(await cluster.sum("squares", "loads"), keys.length + moved);
  const share = moved / keys.length;
  assertEquals(share > 0.15 && share < 0.25, true, `moved ${share}`);
  assertEquals((await statsOf(newcomer)).groups.squares!.peerFetches, keys.length - moved);

  // It leaves in good order: its keys go back to whom they came from, who still have them.
  assertEquals((await cluster.stop(4)).code, 0);
  cluster.urls.pop();
  await cluster.known(4);
  await askMany(cluster.urls, keys);
  assertEquals(await cluster.sum("squares", "loads"), keys.length);
  assertEquals(await cluster.sum("squares", "peerFailures"), 0);
});

testOnPosix("cache: killing a peer under load causes no errors and moves no other keys", async () => {
  await using cluster = await Cluster.start(3);
  const keys = range(300);
  await askAll(cluster.urls, keys);
  const victim = (await statsOf(cluster.urls[2]!)).groups.squares!.loads;
  const urls = cluster.urls.slice(0, 2);
  const before = await cluster.sum("squares", "loads", urls);
  assertEquals(before, keys.length - victim);

  let asking = true;
  const load = Promise.all(
    range(8).map(async (worker) => {
      for (let i = worker; asking; i += 8) {
        // New keys too, of which no peer has a copy.
        await askAll([urls[i % 2]!], [i % 3 === 0 ? 10_000 + i : keys[i % keys.length]!]);
      }
    }),
  );
  cluster.kill(2, "SIGKILL");
  const gone = cluster.known(2, 2);
  await gone.finally(() => asking = false);
  await load;
  // A key of the dead peer is loaded by the getter.
  assertEquals(await cluster.sum("squares", "peerFailures", urls) > 0, true);

  // The keys of those who live are where they were: in their main caches, and fetched from there.
  const loads = await cluster.sum("squares", "loads", urls);
  const from = [...await askAll([urls[0]!], keys), ...await askAll([urls[1]!], keys)];
  const again = await cluster.sum("squares", "loads", urls) - loads;
  assertEquals(again <= victim, true, `${again} loads for ${victim} keys`);
  assertEquals(from.filter((source) => source === "main").length >= before, true);
});

testOnPosix(
  "cache: the others work without a peer that hangs, and use it again when it is back",
  async () => {
    await using cluster = await Cluster.start(2);
    const [url] = cluster.urls;
    await askAll([url!], range(50));
    cluster.kill(1, "SIGSTOP");
    const from = await askAll([url!], range(50, 100));
    assertEquals(new Set(from), new Set(["getter"]));
    await cluster.known(1, 1);
    cluster.kill(1, "SIGCONT");
    await cluster.known(2);
    await until(
      async () => (await askAll([url!], range(50, 200))).includes("peer"),
      "the peer to be asked again",
    );
  },
);

testOnPosix(
  "cache: a peer serves before there is a registry, and finds the others when there is",
  async () => {
    const probe = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = probe.addr;
    probe.close();
    await using cluster = new Cluster(port);
    const registryUrl = `http://127.0.0.1:${port}`;
    const urls = await Promise.all([cluster.add(registryUrl), cluster.add(registryUrl)]);
    for (const url of urls) await askAll([url], range(20));
    assertEquals(await cluster.sum("squares", "loads"), 40);
    cluster.open();
    await cluster.known(2);
    for (const url of urls) await askAll([url], range(20, 100));
    assertEquals(await cluster.sum("squares", "loads"), 60);
  },
);

for (const signal of ["SIGINT", "SIGTERM", "SIGKILL"] as const) {
  testOnPosix(`cache: without flags a registry and three peers run, until ${signal}`, async () => {
    await using all = new CacheProcess();
    await all.printed(/--registry http:\S+\n/);
    const urls = [...all.out.matchAll(/^peer: +(\S+) \(process \d+\)$/mg)].map(([, url]) => url!);
    assertEquals(urls.length, 3);
    for (const url of urls) assertEquals((await ask(url, "scores", "Tom")).text, "630\n");
    assertEquals((await statsOf(urls[0]!)).peers.length, 3);
    // The URLs that it prints can be copied as they are.
    for (const [url] of all.out.matchAll(/http:[^\s']+/g)) {
      const response = await fetch(url);
      await response.body?.cancel();
      assertEquals(response.ok, true, url);
    }
    const { code } = await all.stop(signal);
    if (signal !== "SIGKILL") assertEquals(code, 0);
    const serves = (url: string) =>
      fetch(url).then((response) => response.body?.cancel()).then(() => true, () => false);
    await until(async () => !(await Promise.all(urls.map(serves))).includes(true), "all peers to end");
  });
}
