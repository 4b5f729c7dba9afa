// The HTTP front of the example in examples/shortener, over a store whose answers the test sets.

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { front, type FrontOptions } from "../../examples/shortener/front.ts";
import { checkUrl, type Store } from "../../examples/shortener/store.ts";
import { RpcError } from "../../mod.ts";

/** Keeps URLs under their numbers. */
class Memory implements Store {
  readonly urls: string[] = [];
  error: Error | undefined;

  // deno-lint-ignore require-await -- as a store is
  async get(key: string): Promise<string | undefined> {
    if (this.error !== undefined) throw this.error;
    return this.urls[Number(key)];
  }

  // deno-lint-ignore require-await -- as above
  async put(url: string): Promise<string> {
    if (this.error !== undefined) throw this.error;
    return String(this.urls.push(checkUrl(url)) - 1);
  }
}

const ORIGIN = "http://127.0.0.1:8080";
const FORM = "application/x-www-form-urlencoded";

function open(origin = ORIGIN, options: Partial<FrontOptions> = {}) {
  const store = new Memory();
  const handler = front(store, { origin: () => origin, ...options });
  const get = (path: string, init?: RequestInit) => handler(new Request(ORIGIN + path, init));
  const post = (path: string, body: BodyInit, type: string, accept = "*/*") =>
    get(path, { method: "POST", body, headers: { "content-type": type, accept } });
  return { store, get, post };
}

Deno.test("shortener front: a URL is taken from a form and from JSON, and answered as was asked", async () => {
  const { store, post } = open();
  for (const path of ["/", "/add", "/add?x"]) {
    const n = store.urls.length;
    const text = await post(path, `url=${encodeURIComponent(`https://example.com/?a=1&b=é${n}`)}`, FORM);
    assertEquals([text.status, await text.text()], [201, `${ORIGIN}/${n}\n`]);
    assertEquals(text.headers.get("location"), `${ORIGIN}/${n}`);
  }
  assertEquals(store.urls[2], "https://example.com/?a=1&b=%C3%A92");
  const url = "https://example.com/";
  const json = await post("/add", JSON.stringify({ url }), "Application/JSON; charset=utf-8");
  assertEquals([json.status, await json.json()], [201, { short: `${ORIGIN}/3`, url }]);
  const html = await post("/add", "url=https://example.com/%3Cb%3E", FORM, "text/html,*/*;q=0.8");
  assertEquals([html.status, html.headers.get("content-type")], [201, "text/html; charset=utf-8"]);
  assertStringIncludes(
    await html.text(),
    `<a href="${ORIGIN}/4">${ORIGIN}/4</a> leads to https://example.com/&lt;b&gt;`,
  );
});

Deno.test("shortener front: short URLs begin with the configured base", async () => {
  const { post } = open("https://sho.rt");
  assertEquals(await (await post("/", "url=https://example.com/", FORM)).text(), "https://sho.rt/0\n");
});

Deno.test("shortener front: neither the path nor the host of a short URL is taken from the Host header", async () => {
  const store = new Memory();
  const handler = front(store, { origin: () => ORIGIN });
  store.urls.push("https://example.com/");
  const post = { method: "POST", body: "url=https://example.com/", headers: { "content-type": FORM } };
  const short = await handler(new Request("http://attacker.test/add", post));
  assertEquals(short.headers.get("location"), `${ORIGIN}/1`);
  // Deno joins Host and path to a URL.
  for (const host of ["a/0?", "a?", "a#", "a\\0"]) {
    const answer = await handler(new Request(`http://${host}/x`, { headers: { host } }));
    assertEquals([answer.status, await answer.text()], [400, "The header Host is invalid\n"], host);
  }
});

Deno.test("shortener front: a key redirects, and an unknown one is not found", async () => {
  const { store, get } = open();
  store.urls.push("https://example.com/?q=1");
  for (const init of [{}, { method: "HEAD" }]) {
    for (const path of ["/0", "/0?from=mail"]) {
      const response = await get(path, init);
      assertEquals([response.status, response.headers.get("location")], [302, "https://example.com/?q=1"]);
    }
  }
  for (const path of ["/1", "/a/b", "/0/", "//0", "/%30", "/favicon.ico", "/..%2f..%2fetc", "/<script>"]) {
    const response = await get(path);
    assertEquals([response.status, await response.text()], [404, "Unknown short URL\n"], path);
  }
});

Deno.test("shortener front: the form is there under / and /add, and lets no script run", async () => {
  const { get } = open();
  for (const path of ["/", "/add", "/?x"]) {
    const response = await get(path);
    assertMatch(await response.text(), /<form method="post" action="\/add">[^]*name="url"/);
    assertMatch(response.headers.get("content-security-policy")!, /^default-src 'none';/);
  }
});

Deno.test("shortener front: errors are reported in the format of the request", async () => {
  const { store, get, post } = open();
  const expected = 'Expected JSON such as {"url": "https://example.com/"}';
  const refused: [Promise<Response>, number, string][] = [
    [post("/add", "url=javascript:alert(1)", FORM), 400, "Expected an http or https URL"],
    [post("/add", "uri=https://example.com/", FORM), 400, "Expected a URL such as https://example.com/"],
    [post("/add", "{", "application/json"), 400, expected],
    [post("/add", "null", "application/json"), 400, expected],
    [post("/add", '{"url":7}', "application/json"), 400, expected],
    [
      post("/add", `url=https://a/${"a".repeat(2_048)}`, FORM),
      400,
      "The URL has 2058 characters: expected at most 2048",
    ],
    [post("/add", `url=https://a/${"a".repeat(1 << 20)}`, FORM), 413, "expected at most 32768 bytes"],
    [post("/add", "https://example.com/", "text/plain"), 415, 'Expected a form with a field "url"'],
    [get("/add", { method: "PUT", body: "x" }), 405, "Method not allowed: expected GET, HEAD, POST"],
    [get("/0", { method: "POST", body: "x" }), 405, "Method not allowed: expected GET, HEAD"],
  ];
  for (const [answer, status, message] of refused) {
    const response = await answer;
    const text = await response.text();
    assertEquals(response.status, status, text);
    assertStringIncludes(text.replaceAll('\\"', '"'), message);
    assertEquals(response.headers.has("allow"), status === 405);
  }
  const html = await post("/add", "url=%22%3E%3Cscript%3E", FORM, "text/html");
  assertEquals(html.status, 400);
  assertStringIncludes(await html.text(), "got &quot;\\&quot;&gt;&lt;script&gt;&quot;");
  assertEquals(store.urls, []);
});

Deno.test("shortener front: a body without end is not read to its end", async () => {
  let sent = 0;
  let canceled = false;
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      sent += 1_000;
      controller.enqueue(new TextEncoder().encode("a".repeat(1_000)));
    },
    cancel: () => void (canceled = true),
  });
  const { post } = open();
  const response = await post("/add", body, FORM);
  await response.body?.cancel();
  assertEquals([response.status, canceled, sent < 100_000], [413, true, true]);
});

Deno.test("shortener front: an unreachable store is 503 with Retry-After, one that fails is 500", async () => {
  const lines: string[] = [];
  const { store, get, post } = open(ORIGIN, { log: (line) => lines.push(line) });
  for (const code of ["unavailable", "deadline_exceeded", "resource_exhausted"] as const) {
    store.error = new RpcError(code, "tcp@10.0.0.7:9000 is away");
    for (const answer of [get("/0"), post("/add", "url=https://example.com/", FORM)]) {
      const response = await answer;
      assertEquals([response.status, response.headers.get("retry-after")], [503, "1"]);
      assertMatch(await response.text(), /^The URL store is temporarily unavailable\. Try again soon\n$/);
    }
  }
  assertEquals(lines, []);
  store.error = new Error("secret");
  const response = await get("/0", { headers: { accept: "application/json" } });
  assertEquals([response.status, await response.json()], [500, { error: "Internal error" }]);
  assertEquals(lines, ["cannot answer a request: Error: secret"]);
});
