// What the crawler makes of URLs, of robots.txt and of HTML.

import { assertEquals } from "@std/assert";
import { decodePage } from "../../examples/crawler/encoding.ts";
import { parsePage } from "../../examples/crawler/parse.ts";
import { directivesFor, parseRobots } from "../../examples/crawler/robots.ts";
import { MAX_URL, normalizeUrl } from "../../examples/crawler/url.ts";

Deno.test("crawler url: equal URLs are normalized to one text", () => {
  const same = [
    "http://example.com/a/b?q=1",
    "HTTP://EXAMPLE.com:80/a/b?q=1#part",
    "http://example.com./a/./x/../b?q=1",
    "http://user:secret@example.com/%61/b?q=%31",
  ];
  for (const url of same) assertEquals(normalizeUrl(url), "http://example.com/a/b?q=1");
  assertEquals(normalizeUrl("../c?#x", "http://example.com/a/b"), "http://example.com/c");
  assertEquals(normalizeUrl("//other/%e4%2f", "https://example.com"), "https://other/%E4%2F");
  // These are different.
  assertEquals(normalizeUrl("http://example.com/a/"), "http://example.com/a/");
  assertEquals(normalizeUrl("http://example.com/?b=1&a=2"), "http://example.com/?b=1&a=2");
});

Deno.test("crawler url: accepts only http and https, up to the maximum length", () => {
  const bad = [
    "javascript:alert(1)",
    "mailto:a@b",
    "file:///etc/passwd",
    "data:text/html,x",
    "http://",
    "nonsense",
  ];
  for (const url of bad) assertEquals(normalizeUrl(url), undefined);
  assertEquals(normalizeUrl(`http://example.com/${"a".repeat(MAX_URL)}`), undefined);
  assertEquals(normalizeUrl("/".repeat(2 ** 20), "http://example.com/"), undefined);
});

function allowed(text: string, ...paths: string[]): boolean[] {
  const robots = parseRobots(text, "TroodonCrawler");
  return paths.map((path) => robots.allows(path));
}

Deno.test("crawler robots: the longest rule wins, of two equally long ones the one that allows", () => {
  const text = "User-agent: *\nDisallow: /a\nAllow: /a/b\nDisallow: /same\nAllow: /same\nDisallow:";
  assertEquals(allowed(text, "/", "/a", "/ab", "/a/b/c", "/same"), [true, false, false, true, true]);
  assertEquals(allowed("User-agent: *\nDisallow: /", "/x", "/robots.txt"), [false, true]);
  assertEquals(allowed("", "/x"), [true]);
});

Deno.test("crawler robots: groups for this crawler are merged, and those for all are used only if it has none", () => {
  const text = `
    User-agent: other
    user-agent: TROODONcrawler/2.0 # in any case
    Disallow: /one
    User-agent: *
    Disallow: /
    User-agent: TroodonCrawler
    Disallow: /two`;
  assertEquals(allowed(text, "/", "/one", "/two"), [true, false, false]);
  assertEquals(allowed("User-agent: other\nDisallow: /\nUser-agent: *\nDisallow: /x", "/", "/x"), [
    true,
    false,
  ]);
  assertEquals(allowed("Disallow: /\nnonsense\n\u0000:", "/"), [true]); // rules without a user agent
});

Deno.test("crawler robots: stars, anchors and escapes", () => {
  const text =
    "User-agent: *\nDisallow: /*.pdf$\nDisallow: /a*z\nDisallow: /exact$\nDisallow: /%7ejoe\nDisallow: *end$";
  assertEquals(
    allowed(text, "/x.pdf", "/x.pdf?1", "/a/q/z1", "/exact", "/exact/", "/~joe", "/%7Ejoe", "/the/end"),
    [false, true, false, false, true, false, false, false],
  );
});

Deno.test("crawler robots: rules beyond ASCII and with escapes match paths as URLs write them", () => {
  // RFC 9309 sections 2.2.2 and 2.2.3
  const cases: [rule: string, link: string][] = [
    ["/privé/", "/privé/a"],
    ["/foo/bar/ツ", "/foo/bar/%E3%83%84"],
    ["/foo/bar/%E3%83%84", "/foo/bar/ツ"],
    ["/foo/bar?baz=https://foo.bar", "/foo/bar?baz=https%3A%2F%2Ffoo.bar"],
    ["/file-with-a-%2A.html", "/file-with-a-*.html"],
    ["/foo-%24", "/foo-$"],
    ["/my files/", "/my files/x"],
    ["/s?q='", "/s?q='x'"],
    ["/%7euser", "/~user"],
  ];
  for (const [rule, link] of cases) {
    const { pathname, search } = new URL(link, "http://site.test");
    assertEquals(allowed(`User-agent: *\nDisallow: ${rule}`, pathname + search), [false], rule);
  }
  assertEquals(allowed("User-agent: *\nDisallow: /a%2Fb", "/a/b", "/a%2fb"), [true, false]);
});

Deno.test("crawler robots: stars are limited, so that a hostile file does not cost milliseconds per link", () => {
  const star = (i: number) => `Disallow: /${"*a".repeat(100)}${i}`;
  const text = `User-agent: *\n${Array.from({ length: 2_000 }, (_, i) => star(i)).join("\n")}`;
  const path = (i: number) => `/${"a".repeat(100)}${i}`;
  assertEquals(allowed(text, path(0), path(1), path(3)), [false, false, true]);
});

Deno.test("crawler robots: the directives of X-Robots-Tag for this crawler", () => {
  const cases: [string, string[]][] = [
    ["", [""]],
    ["NoIndex, nofollow", ["noindex", "nofollow"]],
    ["otherbot: noindex, nofollow", []],
    ["otherbot: noindex, TroodonCrawler: nofollow, none", ["nofollow", "none"]],
    ["max-snippet: 5, noindex", ["max-snippet: 5", "noindex"]],
  ];
  for (const [header, directives] of cases) assertEquals(directivesFor(header), directives);
});

Deno.test("crawler encoding: byte order mark, header, <meta>, then UTF-8, as in the HTML standard", () => {
  const latin = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));
  const cases: [body: Uint8Array<ArrayBuffer>, type: string | null, text: string][] = [
    [latin("\xef\xbb\xbf\xc3\xa9"), "text/html; charset=latin1", "é"],
    [latin("\xff\xfea\0"), "text/html; charset=utf-8", "a"],
    [latin("\xfe\xff\0a"), null, "a"],
    [latin("<meta charset=utf-8>\xe9"), 'text/html; charset="iso-8859-1"', "é"],
    [latin("<meta charset=latin1>\xe9"), "text/html; charset=klingon", "é"],
    [latin("<!-- <meta charset=utf-8> --><META x CHARSET = 'latin1'>\xe9"), null, "é"],
    [latin('<a title="<meta charset=utf-8>"><meta charset=latin1>\xe9'), null, "é"],
    [latin('<meta content="text/html; charset=latin1">\xc3\xa9'), null, "é"],
    [latin('<meta http-equiv="Content-Type" content="text/html; charset=latin1">\xe9'), null, "é"],
    [latin("<meta charset=klingon><meta charset=latin1>\xe9"), null, "é"],
    [latin("<meta charset=utf-16>\xc3\xa9"), null, "é"],
    [latin('<?xml version="1.0" encoding="latin1"?>\xe9'), null, "é"],
    [latin(`${" ".repeat(1_024)}<meta charset=latin1>\xc3\xa9`), null, "é"],
    [latin("<meta charset=shift_jis>\x93\xfa"), null, "日"],
    [latin("\xc3\xa9"), null, "é"],
  ];
  for (const [body, type, text] of cases) {
    assertEquals(
      decodePage(body, type).replace(/<[^]*>/, "").trim(),
      text,
      new TextDecoder("latin1").decode(body),
    );
  }
  const open = latin('<a "'.repeat(256));
  assertEquals(decodePage(open, null).length, 1_024);
});

Deno.test("crawler robots: a pattern that would backtrack without end does not", () => {
  // Tried in every way, it would take longer than the universe lasts.
  const robots = parseRobots(`User-agent: *\nDisallow: /${"a*".repeat(5_000)}b$`);
  assertEquals(robots.allows(`/${"a".repeat(MAX_URL)}`), true);
});

Deno.test("crawler robots: Crawl-delay, within reason", () => {
  const delay = (value: string) => parseRobots(`User-agent: *\nCrawl-delay: ${value}`).delay;
  assertEquals(["1.5", "0", "-3", "soon", "1e9"].map(delay), [1_500, 0, 0, 0, 60_000]);
});

Deno.test("crawler parse: title, text and links", () => {
  const page = parsePage(
    `<!DOCTYPE html><html><head><title> Tea &amp;
      cake </title><style>p { color: red }</style><script>var a = "<a href='/no'>";</script></head>
     <body><h1>One</h1>two<b>half</b><p>three<br>four &eacute;&#x41;<svg><title>not this</title></svg>
     <a href=" /a?x=1&amp;y=2#z ">A</a> <A HREF='b'>B</A><area href=//c.example><a href="javascript:x">
     <a name="q">no</a><iframe src="/frame"><a href=/inside></iframe><a href="/a?x=1&y=2">again</a>`,
    "http://example.com/dir/",
  );
  assertEquals(page.title, "Tea & cake");
  assertEquals(page.text, "One twohalf three four éA not this A B no again");
  assertEquals(page.links, [
    "http://example.com/a?x=1&y=2",
    "http://example.com/dir/b",
    "http://c.example/",
    "http://example.com/frame",
  ]);
});

Deno.test("crawler parse: <base>, and what <meta name=robots> asks for", () => {
  const read = (html: string) => parsePage(html, "http://example.com/");
  const based = read('<base href="/x/"><base href="/y/"><a href="z">');
  assertEquals([based.links, based.noindex], [["http://example.com/x/z"], false]);
  const shy = read('<META NAME="Robots" content="NoIndex, nofollow"><a href="z">');
  assertEquals([shy.links, shy.noindex], [[], true]);
});

Deno.test("crawler parse: broken HTML is a page all the same", () => {
  const read = (html: string) => parsePage(html, "http://example.com/");
  assertEquals(read("").text, "");
  assertEquals(read("</b></p>a<b<<p>b<a href=/x").text, "a b");
  assertEquals(read("<title>never closed <p>text").title, "never closed <p>text");
  assertEquals(read("a\u0000b\u0002c\ud800").text, "a b c\ufffd");
  assertEquals(read("<p>a<!-- b --!> c").text.startsWith("a"), true);
});

Deno.test("crawler parse: pages that are built to take long are limited", () => {
  const pages = [
    "<div>",
    "</p>",
    "<a href=x",
    "<a href='/x'>",
    "&amp",
    "<!--",
    "<script>",
    "<title>",
    "<",
    "<p x=1 ",
  ];
  for (const piece of pages) {
    const { text, links } = parsePage(piece.repeat(2 ** 21 / piece.length), "http://example.com/");
    assertEquals(text.length <= 200_000 && links.length <= 1_500, true, piece);
  }
});
