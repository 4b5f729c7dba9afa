// The stores of the example in examples/shortener: the master's file, and a replica's cache over RPC.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ProxyStore } from "../../examples/shortener/proxy_store.ts";
import { checkUrl, isKey, MAX_URL, serve, Shortener } from "../../examples/shortener/store.ts";
import { toId, toKey, UrlStore } from "../../examples/shortener/url_store.ts";
import { connect, RpcError, Server } from "../../mod.ts";

/** A folder for one test. */
async function folder() {
  const path = await Deno.makeTempDir();
  return { file: `${path}/urls.db`, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

/** Counts in the master's place, and can be away. */
class Master {
  readonly urls = new Map<string, string>();
  gets = 0;
  away = false;

  // deno-lint-ignore require-await -- as a call is
  async get(key: string): Promise<string | null> {
    this.gets++;
    if (this.away) throw new RpcError("unavailable", "away");
    return this.urls.get(key) ?? null;
  }

  // deno-lint-ignore require-await -- as above
  async put(url: string): Promise<string> {
    if (this.away) throw new RpcError("unavailable", "away");
    const key = `key${this.urls.size}`;
    this.urls.set(key, url);
    return key;
  }
}

Deno.test("shortener: numbers and keys map one to one, and no key is a path of the front", () => {
  const first = 62 ** 3;
  assertEquals([first, first + 61, first + 62, Number.MAX_SAFE_INTEGER].map(toKey), [
    "1000",
    "100z",
    "1010",
    "fFgnDxSe7",
  ]);
  for (const id of [first, first + 12_345, 62 ** 5 - 1, 62 ** 5, Number.MAX_SAFE_INTEGER]) {
    assertEquals(toId(toKey(id)), id);
  }
  for (
    const key of ["", "add", "zzz", "0001", "0zzz", "zzzzzzzzz", "1000000000", "10 0", "1/00", "%311000"]
  ) {
    assertEquals(toId(key), undefined, key);
  }
  assertEquals([isKey(1000), isKey(["1000"]), isKey("1000")], [false, false, true]);
});

Deno.test("shortener: only http and https URLs of 2048 characters at most are taken", () => {
  assertEquals(checkUrl(" HTTPS://Example.com/a b?q=é\n"), "https://example.com/a%20b?q=%C3%A9");
  const longest = `https://example.com/${"a".repeat(MAX_URL - 20)}`;
  assertEquals(checkUrl(longest), longest);
  const refused: [unknown, string][] = [
    ["javascript:alert(1)", 'Expected an http or https URL, got "javascript:alert(1)"'],
    ["\tjava\nscript:alert(1)", "Expected an http or https URL"],
    ["data:text/html,x", "Expected an http or https URL"],
    ["file:///etc/passwd", "Expected an http or https URL"],
    ["example.com", 'Expected a URL such as https://example.com/, got "example.com"'],
    ["http://", "Expected a URL"],
    ["  ", "Expected a URL"],
    [undefined, "Expected a URL"],
    [{ href: "https://example.com/" }, "Expected a URL"],
    [`${longest}a`, "The URL has 2049 characters: expected at most 2048"],
    [`https://example.com/${"é".repeat(1_000)}`, "The URL has 6020 characters: expected at most 2048"],
    ["a".repeat(1 << 20), "The URL has 1048576 characters"],
  ];
  for (const [url, message] of refused) {
    const error = assertThrows(() => checkUrl(url), RpcError, message);
    assertEquals(error.code, "invalid_argument");
  }
});

Deno.test("shortener: the master's data are there when the file is opened again, and keys continue", async () => {
  await using dir = await folder();
  const urls = Array.from({ length: 500 }, (_, i) => `https://example.com/${i}`);
  let keys: string[];
  {
    await using store = UrlStore.open(dir.file);
    keys = await Promise.all(urls.map((url) => store.put(url)));
    assertEquals(keys[0], "1000");
    assertEquals(new Set(keys).size, urls.length);
    assertEquals(await store.put("https://EXAMPLE.com/7"), keys[7]);
    assertEquals(await store.get("zzzz"), undefined);
    await assertRejects(() => store.put("ftp://example.com/"), RpcError, "Expected an http or https URL");
  }
  await using store = UrlStore.open(dir.file);
  assertEquals(await Promise.all(keys.map((key) => store.get(key))), urls);
  assertEquals(await store.put(urls[499]!), keys[499]);
  const next = await store.put("https://example.com/next");
  assertEquals(toId(next), toId(keys[499]!)! + 1);
});

Deno.test("shortener: the key of a row that was deleted is not used again", async () => {
  await using dir = await folder();
  let key: string;
  {
    await using store = UrlStore.open(dir.file);
    key = await store.put("https://example.com/");
  }
  const { DatabaseSync } = await import("node:sqlite");
  const db = new DatabaseSync(dir.file);
  db.exec("DELETE FROM urls");
  db.close();
  await using store = UrlStore.open(dir.file);
  assertEquals(await store.get(key), undefined);
  assertEquals(toId(await store.put("https://example.com/")), toId(key)! + 1);
});

Deno.test("shortener: a write is settled before the store closes, none is taken after", async () => {
  await using dir = await folder();
  const store = UrlStore.open(dir.file);
  const key = store.put("https://example.com/");
  await store.close();
  assertEquals(await key, "1000");
  await assertRejects(() => store.put("https://example.com/"), RpcError, "The store is closed");
  await assertRejects(() => store.get("1000"), RpcError, "The store is closed");
  await store.close();
});

Deno.test("shortener: a write that fails is not acknowledged, and the next is", async () => {
  await using dir = await folder();
  {
    await using store = UrlStore.open(dir.file);
    await store.put("https://example.com/1");
  }
  const { DatabaseSync } = await import("node:sqlite");
  const db = new DatabaseSync(dir.file);
  // Simulates a disk that is full.
  db.exec(`CREATE TRIGGER full BEFORE INSERT ON urls WHEN new.url LIKE '%/full'
    BEGIN SELECT RAISE(ABORT, 'disk is full'); END`);
  db.close();
  const lines: string[] = [];
  await using store = UrlStore.open(dir.file, (line) => lines.push(line));
  const both = await Promise.allSettled(
    ["2", "full"].map((path) => store.put(`https://example.com/${path}`)),
  );
  assertEquals(both.map(({ status }) => status), ["rejected", "rejected"]);
  assertEquals(lines, ["Cannot store the URL: disk is full"]);
  assertEquals(await store.get("1001"), undefined);
  assertEquals(await store.get(await store.put("https://example.com/2")), "https://example.com/2");
});

Deno.test("shortener: a file that is invalid or opened by another process is a clear error", async () => {
  await using dir = await folder();
  await using _store = UrlStore.open(dir.file);
  const locked = assertThrows(() => UrlStore.open(dir.file), Error);
  assertEquals(locked.message, `cannot open ${dir.file}: another process has it open`);
  const other = `${dir.file}.txt`;
  await Deno.writeTextFile(other, "no database. ".repeat(1_000));
  assertEquals(
    assertThrows(() => UrlStore.open(other), Error).message,
    `cannot open ${other}: file is not a database`,
  );
});

Deno.test("shortener: a replica asks for a key once, and serves it without the master", async () => {
  const master = new Master();
  const store = new ProxyStore(master);
  master.urls.set("1000", "https://example.com/");
  for (let i = 0; i < 3; i++) assertEquals(await store.get("1000"), "https://example.com/");
  assertEquals(master.gets, 1);
  const key = await store.put("https://example.com/2");
  master.away = true;
  assertEquals(await store.get(key), "https://example.com/2");
  assertEquals(master.gets, 1);
  await assertRejects(() => store.get("1001"), RpcError, "away");
  await assertRejects(() => store.put("https://example.com/3"), RpcError, "away");
  // These are wrong, whether or not the master is there.
  await assertRejects(() => store.put("javascript:0"), RpcError, "Expected an http or https URL");
  assertEquals(await store.get("no/key"), undefined);
});

Deno.test("shortener: a replica does not cache that a key does not exist", async () => {
  const master = new Master();
  const store = new ProxyStore(master);
  assertEquals(await store.get("1000"), undefined);
  master.urls.set("1000", "https://example.com/");
  assertEquals(await store.get("1000"), "https://example.com/");
});

Deno.test("shortener: a replica's cache is bounded, and keeps what was used last", async () => {
  const master = new Master();
  const store = new ProxyStore(master, { maxEntries: 3 });
  const keys: string[] = [];
  for (let i = 0; i < 3; i++) keys.push(await store.put(`https://example.com/${i}`));
  await store.get(keys[0]!);
  keys.push(await store.put("https://example.com/3"));
  assertEquals(store.size, 3);
  for (const i of [0, 2, 3]) await store.get(keys[i]!);
  assertEquals(master.gets, 0);
  assertEquals(await store.get(keys[1]!), "https://example.com/1");
  assertEquals([master.gets, store.size], [1, 3]);
});

Deno.test("shortener: over RPC, a replica reads and writes what the master has, and gets its refusals", async () => {
  await using dir = await folder();
  await using master = UrlStore.open(dir.file);
  await using server = new Server().register(Shortener, serve(master));
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address);
  const calls = client.service(Shortener);
  const one = new ProxyStore(calls);
  const two = new ProxyStore(calls);
  const key = await one.put("https://example.com/");
  assertEquals(await two.get(key), "https://example.com/");
  assertEquals(await two.put("https://example.com"), key);
  assertEquals(await two.get("zzzz"), undefined);
  // Any client may send anything: the master checks by itself.
  for (const wrong of ["javascript:0", 7, null, ["https://example.com/"]]) {
    const error = await assertRejects(() => client.call("Shortener.put", wrong), RpcError);
    assertEquals([error.code, error.remote], ["invalid_argument", true]);
  }
  for (const wrong of [7, null, {}, "../../etc"]) {
    assertEquals(await client.call("Shortener.get", wrong), null);
  }
  assert(await calls.get(key));
});
