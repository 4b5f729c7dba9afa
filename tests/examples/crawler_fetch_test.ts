// What a crawler's worker makes of sites that do not behave, and what its saver stores and shows.

import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { connect, RpcError } from "../../mod.ts";
import { ItemSaver, PageWorker } from "../../examples/crawler/contract.ts";
import { fetchPage, fetchRobots } from "../../examples/crawler/fetch_page.ts";
import { saverServer } from "../../examples/crawler/saver.ts";
import { searchPage } from "../../examples/crawler/search_page.ts";
import { Store } from "../../examples/crawler/store.ts";
import { workerServer } from "../../examples/crawler/worker.ts";

const never = new AbortController().signal;

type Answers = Record<string, () => Response | Promise<Response>>;

function serve(answers: Answers) {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => answers[new URL(request.url).pathname]?.() ?? new Response("none", { status: 404 }),
  );
  const url = `http://127.0.0.1:${server.addr.port}`;
  const get = (path: string, maxBytes = 100_000, timeout = 5_000) =>
    fetchPage({ url: url + path, timeout, maxBytes }, never);
  return { url, get, [Symbol.asyncDispose]: () => server.shutdown() };
}

function html(body: BodyInit, type = "text/html", headers: Record<string, string> = {}) {
  return () => new Response(body, { headers: { "content-type": type, ...headers } });
}

Deno.test("crawler fetch: pages, redirects, errors, and responses that are not pages", async () => {
  await using site = serve({
    "/page": html('<title>Hi</title><a href="x">x</a>', "TEXT/HTML; charset=UTF-8"),
    "/latin": html(new Uint8Array([0x3c, 0x70, 0x3e, 0xe9]), "text/html; charset=iso-8859-1"),
    "/meta": html(new Uint8Array([...new TextEncoder().encode("<meta charset=latin1>"), 0xe9])),
    "/odd": html("<p>odd", "text/html; charset=klingon"),
    "/png": html("PNG", "image/png"),
    "/typeless": () => new Response(new Uint8Array([1])),
    "/moved": () => new Response(null, { status: 301, headers: { location: "../page#part" } }),
    "/script": () => new Response(null, { status: 302, headers: { location: "javascript:alert(1)" } }),
    "/nowhere": () => new Response(null, { status: 302 }),
    "/busy": () => new Response("", { status: 503, headers: { "retry-after": "7" } }),
  });
  const links = [`${site.url}/x`];
  assertEquals(await site.get("/page"), { kind: "page", title: "Hi", text: "x", links, noindex: false });
  for (const [path, text] of [["/latin", "é"], ["/meta", "é"], ["/odd", "odd"]] as const) {
    const result = await site.get(path);
    assertEquals(result.kind === "page" && result.text, text);
  }
  assertEquals(await site.get("/png"), { kind: "skipped", why: "not HTML: image/png" });
  assertEquals(await site.get("/typeless"), { kind: "skipped", why: "not HTML: unknown type" });
  assertEquals(await site.get("/moved"), { kind: "redirect", to: `${site.url}/page` });
  for (const path of ["/script", "/nowhere"]) {
    assertEquals(await site.get(path), {
      kind: "failed",
      why: "HTTP 302 without a valid Location",
      retryable: false,
    });
  }
  assertEquals(await site.get("/404"), {
    kind: "failed",
    why: "HTTP 404",
    retryable: false,
    retryAfter: undefined,
  });
  assertEquals(await site.get("/busy"), {
    kind: "failed",
    why: "HTTP 503",
    retryable: true,
    retryAfter: 7_000,
  });
});

Deno.test("crawler fetch: X-Robots-Tag counts like <meta name=robots>", async () => {
  const tag = (value: string) => html('<p>x<a href="x">', "text/html", { "x-robots-tag": value });
  await using site = serve({ "/no": tag("noindex, nofollow"), "/other": tag("otherbot: none") });
  const seen = async (path: string) => {
    const page = await site.get(path);
    return page.kind === "page" && { noindex: page.noindex, links: page.links.length };
  };
  assertEquals(await seen("/no"), { noindex: true, links: 0 });
  assertEquals(await seen("/other"), { noindex: false, links: 1 });
});

Deno.test("crawler fetch: a Location in raw UTF-8 is followed", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const url = `http://127.0.0.1:${listener.addr.port}/`;
  const fetching = fetchPage({ url, timeout: 5_000, maxBytes: 100 }, never);
  using conn = await listener.accept();
  await conn.read(new Uint8Array(1_024));
  const head = "HTTP/1.1 302 Found\r\nLocation: /größe/文\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  await conn.write(new TextEncoder().encode(head));
  assertEquals(await fetching, { kind: "redirect", to: `${url}gr%C3%B6%C3%9Fe/%E6%96%87` });
});

Deno.test("crawler fetch: bodies without an end, of 100 MiB, or that unpack to one, are cut", async () => {
  const chunk = new Uint8Array(65_536).fill(0x20);
  let sent = 0;
  const endless = () => new ReadableStream({ pull: (to) => (sent++, to.enqueue(chunk)) });
  const bomb = new Response(new Uint8Array(2 ** 23)).body!.pipeThrough(new CompressionStream("gzip"));
  const packed = new Uint8Array(await new Response(bomb).arrayBuffer());
  await using site = serve({
    "/endless": () => html(endless())(),
    "/long": () => html(endless(), "text/html", { "content-length": String(100 * 2 ** 20) })(),
    "/bomb": html(packed, "text/html", { "content-encoding": "gzip" }),
    "/exact": html("x".repeat(1_000)),
  });
  for (const path of ["/endless", "/long", "/bomb"]) {
    assertEquals(await site.get(path), { kind: "skipped", why: "longer than 100000 bytes" });
  }
  // As much as buffers on the way hold, and far from 100 MiB.
  assertEquals(sent < 300, true, `${sent} chunks were sent`);
  assertEquals((await site.get("/exact", 1_000)).kind, "page");
  assertEquals((await site.get("/exact", 999)).kind, "skipped");
});

Deno.test("crawler fetch: sites that are slow, hang in the middle, or are not there", async () => {
  const held = Promise.withResolvers<Response>();
  const stalled = () =>
    new ReadableStream({ start: (to) => to.enqueue(new TextEncoder().encode("<p>half")) });
  await using site = serve({ "/silent": () => held.promise, "/stalled": () => html(stalled())() });
  for (const path of ["/silent", "/stalled"]) {
    const why = "no answer within 200 ms";
    assertEquals(await site.get(path, 1_000, 200), { kind: "failed", why, retryable: true });
  }
  const stop = new AbortController();
  const cancelled = fetchPage({ url: `${site.url}/silent`, timeout: 5_000, maxBytes: 1 }, stop.signal);
  stop.abort(new Error("enough"));
  await assertRejects(() => cancelled, Error, "enough");
  held.resolve(new Response(""));
  const free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = free.addr;
  free.close();
  const gone = await fetchPage({ url: `http://127.0.0.1:${port}/`, timeout: 5_000, maxBytes: 1 }, never);
  assertMatch(gone.kind === "failed" ? gone.why : "", /refused/i);
});

Deno.test("crawler fetch: robots.txt is there, is not, moves, or cannot be had", async () => {
  let answer: (path: string) => Response;
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => answer(new URL(request.url).pathname),
  );
  const origin = `http://127.0.0.1:${server.addr.port}`;
  const ask = () => fetchRobots({ origin, timeout: 5_000 }, never);
  answer = () => new Response("User-agent: *");
  assertEquals(await ask(), { text: "User-agent: *" });
  answer = () => new Response("none", { status: 404 });
  assertEquals(await ask(), { text: "" });
  answer = () => new Response("broken", { status: 500 });
  assertEquals(await ask(), { why: "robots.txt: HTTP 500" });
  const moved = new Response(null, { status: 301, headers: { location: "/elsewhere" } });
  answer = (path) => path === "/elsewhere" ? new Response("moved") : moved;
  assertEquals(await ask(), { text: "moved" });
  answer = () => new Response(null, { status: 302, headers: { location: "/robots.txt" } });
  assertEquals(await ask(), { text: "" });
  await server.shutdown();
});

Deno.test("crawler worker: refuses invalid jobs", async () => {
  await using server = workerServer(3);
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address);
  const worker = client.service(PageWorker);
  assertEquals(await worker.slots(), 3);
  for (const url of ["file:///etc/passwd", "javascript:1", `http://x/${"y".repeat(2 ** 20)}`]) {
    const error = await assertRejects(() => worker.fetch({ url, timeout: 1, maxBytes: 1 }), RpcError);
    assertEquals(error.code, "invalid_argument");
  }
  await assertRejects(() => worker.robots({ origin: "ftp://x", timeout: 1 }), RpcError, "expected an origin");
});

const page = (n: number, text = "") => ({
  url: `http://example.com/${n}`,
  title: `Page ${n}`,
  text,
  depth: 1,
});

Deno.test("crawler store: a page is stored once, changed when it comes again, and found by its words", () => {
  using store = new Store(":memory:");
  assertEquals(store.save(page(1, "the old river")), true);
  assertEquals(store.save(page(2, "a quiet garden by the river")), true);
  assertEquals(store.save(page(1, "the new café")), false);
  assertEquals(store.count(), 2);
  const search = (query: string) => store.search(query, 10, 0).map(({ url }) => url.slice(-1)).join();
  assertEquals([search("river"), search("old"), search("CAFE"), search("page"), search("river garden")], [
    "2",
    "",
    "1",
    "1,2",
    "2",
  ]);
  assertEquals(search(""), "2,1");
  // The words of FTS5's own language are words.
  for (
    const odd of ['"', "river OR new", "title:page", "river*", "NEAR(", "-", "'); DROP TABLE pages", "\u0000"]
  ) {
    search(odd);
  }
  assertEquals([search("river OR new"), store.count()], ["", 2]);
  assertEquals(store.search("garden", 1, 0)[0]!.snippet, "a quiet \u0002garden\u0003 by the river");
});

Deno.test("crawler store: words are found in Chinese and Japanese text, which has no spaces", () => {
  using store = new Store(":memory:");
  store.save({ ...page(1, "我们在北京大学学习计算机科学。"), title: "北京大学" });
  store.save(page(2, "東京タワーはRPC333メートルの高さです。"));
  const search = (query: string) => store.search(query, 10, 0).map(({ url }) => url.slice(-1)).join();
  const queries = ["大学", "计算机 北京", "北大", "タワー", "東京", "RPC333", "メートルの高さ", "京東"];
  assertEquals(queries.map(search), ["1", "1", "", "2", "2", "2", "2", ""]);
  assertEquals(queries.map((query) => store.matches(query)), [1, 1, 0, 1, 1, 1, 1, 0]);
  const [found] = store.search("学习", 10, 0);
  assertEquals([found!.title, found!.snippet], ["北京大学", "我们在北京大学\u0002学习\u0003计算机科学。"]);
});

Deno.test("crawler store: stored pages survive a restart", async () => {
  const dir = await Deno.makeTempDir();
  {
    using store = new Store(`${dir}/pages.db`);
    store.save(page(1, "the river"));
  }
  {
    using store = new Store(`${dir}/pages.db`);
    assertEquals([store.save(page(1, "the river")), store.search("river", 9, 0).length], [false, 1]);
  }
  await Deno.remove(dir, { recursive: true });
});

Deno.test("crawler saver: refuses invalid pages", async () => {
  using store = new Store(":memory:");
  await using server = saverServer(store);
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address);
  const items = client.service(ItemSaver);
  assertEquals([await items.save(page(1)), await items.save(page(1)), await items.count()], [true, false, 1]);
  for (const url of ["javascript:alert(1)", "http://example.com/#x", "HTTP://example.com/"]) {
    const error = await assertRejects(() => items.save({ ...page(1), url }), RpcError, "normalized");
    assertEquals(error.code, "invalid_argument");
  }
  await assertRejects(() => items.search({ query: "x", limit: 1e9, offset: 0 }), RpcError, "limit up to 100");
  assertEquals((await items.search({ query: "page", limit: 10, offset: 0 })).length, 1);
});

Deno.test("crawler search page: everything on it is escaped, and it has pagination", async () => {
  using store = new Store(":memory:");
  const get = async (path: string) => {
    const response = searchPage(store, new Request(`http://localhost${path}`));
    return { status: response.status, text: await response.text(), headers: response.headers };
  };
  assertStringIncludes((await get("/")).text, "No pages are stored yet");
  store.save({
    url: "http://e.com/?a='&b",
    title: "<script>1</script>",
    text: "x <img src=y> & z",
    depth: 0,
  });
  const { text, headers } = await get("/?q=img");
  assertStringIncludes(text, "&#60;script&#62;1&#60;/script&#62;");
  assertStringIncludes(text, "x &#60;<mark>img</mark> src=y&#62; &#38; z");
  assertEquals(/<script|<img/.test(text), false);
  assertMatch(headers.get("content-security-policy")!, /^default-src 'none'/);
  assertStringIncludes(
    (await get(`/?q=${encodeURIComponent('"><b>')}`)).text,
    'value="&#34;&#62;&#60;b&#62;"',
  );
  for (let i = 0; i < 50; i++) store.save(page(i, "harbour"));
  assertStringIncludes((await get("/?q=harbour")).text, "50 pages of 51 found");
  assertStringIncludes((await get("/?q=img")).text, "1 page of 51 found");
  assertStringIncludes((await get("/?q=%22")).text, "51 pages of 51 found");
  const host = searchPage(store, new Request("http://a?/x", { headers: { host: "a?" } }));
  assertEquals(host.status, 400);
  assertEquals((await get("/?q=harbour&page=3")).text.match(/<li>/g)?.length, 10);
  assertEquals((await get("/?q=harbour&page=2")).text.match(/page=[13]/g), ["page=1", "page=3"]);
  const bad = ["/x", `/?q=${"x".repeat(201)}`, "/?page=0", "/?page=x"];
  assertEquals(await Promise.all(bad.map(async (path) => (await get(path)).status)), [404, 400, 400, 400]);
  assertEquals(searchPage(store, new Request("http://localhost/", { method: "POST" })).status, 405);
});
