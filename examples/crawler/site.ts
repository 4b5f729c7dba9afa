// A local site to crawl, with everything that goes wrong on real sites: links in many spellings, redirects,
// loops, errors, endless and hanging pages. Served by `deno task crawler` and by its tests.

import { pause } from "./program.ts";

const WORDS =
  "river engine garden copper winter letter harbour signal mountain paper violin bridge orchard lantern"
    .split(" ");

/** Options of the site. */
export interface SiteOptions {
  /** Number of pages that link to each other as a tree, besides the special ones. */
  readonly pages: number;
  /** Duration of the pages under `/slow/`, in ms. */
  readonly slow: number;
}

/** A running site. */
export class Site implements AsyncDisposable {
  /** The start page. */
  readonly url: string;
  /** Number of requests, by path. */
  readonly hits = new Map<string, number>();
  readonly #options: SiteOptions;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #closing = new AbortController();

  /** Serves the site on a free port of this machine. */
  constructor(options: SiteOptions) {
    this.#options = options;
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {}, signal: this.#closing.signal },
      (request) => this.#answer(request),
    );
    this.url = `http://127.0.0.1:${this.#server.addr.port}/`;
  }

  /** The pages that a crawl without limits stores. */
  get pages(): Set<string> {
    const { pages } = this.#options;
    const odd = ["", "broken.html", "flaky", "circle"];
    const numbers = Array.from({ length: pages }, (_, i) => i);
    const slow = numbers.filter(hasSlow).map((i) => `slow/${i}`);
    return new Set([...odd, ...slow, ...numbers.map((i) => `p/${i}`)].map((path) => this.url + path));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#server.finished;
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    const hits = (this.hits.get(pathname) ?? 0) + 1;
    this.hits.set(pathname, hits);
    const [, kind = "", rest = ""] = pathname.split("/");
    switch (kind) {
      case "":
        return html("Start", `<a href="p/0">In</a> <a href="/old/0">Old</a> ${ODD}`);
      case "robots.txt":
        return new Response("User-agent: *\nDisallow: /private/\n");
      case "p":
        return this.#page(Number(rest));
      case "slow":
        await pause(this.#options.slow, this.#closing.signal);
        return html(`Slow page ${rest}`, "<p>A slow response.</p>");
      case "old":
        return redirect(301, `/p/${rest}`);
      case "endless":
        return redirect(302, `/endless/${Number(rest) + 1}`);
      case "round":
        return redirect(302, rest === "a" ? "/round/b" : "/round/a");
      case "circle":
        return html("Circle", '<a href="/circle">here</a> <a href="#there">there</a> <a href="?">again</a>');
      case "flaky":
        if (hits === 1) return new Response("Temporarily unavailable", { status: 503 });
        return html("Flaky", "<p>The second request succeeds.</p>");
      case "broken.html":
        return page("<title>Bro&ken<p>text <a href='/p/1'>one<div <b>x</i></html><a href=\"/p/2");
      case "picture.png":
        return new Response("PNG", { headers: { "content-type": "image/png" } });
      case "flood":
        return new Response(flood(), { headers: { "content-type": "text/html" } });
      case "hang":
        await pause(60_000, this.#closing.signal);
        return new Response("too late", { status: 500 });
      case "error":
        return new Response("Internal error", { status: 500 });
      case "private":
        return html("Private", "<p>Disallowed by robots.txt.</p>");
      default:
        return new Response("Not found", { status: 404 });
    }
  }

  #page(i: number): Response {
    const { pages } = this.#options;
    if (!(i < pages)) return new Response("Page not found", { status: 404 });
    const words = [0, 1, 2, 3].map((k) => WORDS[(i * (k + 3) + k) % WORDS.length]);
    const links = [2 * i + 1, 2 * i + 2].filter((to) => to < pages).map((to) =>
      `<a href="/p/${to}">${to}</a>`
    );
    const host = new URL(this.url).host;
    const other = (i * 7 + 3) % pages;
    // Different spellings of the same URL, which must be fetched once.
    const spellings = [
      `/p/./${other}`,
      `../p/${other}#part`,
      `/%70/${other}`,
      `HTTP://${host}/x/../p/${other}?`,
      `//user:secret@${host}/p/${other}`,
    ];
    links.push(`<a href="${spellings[i % spellings.length]}">${other}</a>`);
    if (hasSlow(i)) links.push(`<a href="/slow/${i}">slow</a>`);
    if (i % 50 === 1) links.push(`<a href="/old/${i}">old</a> <a href="/missing/${i}">missing</a>`);
    return html(`Page ${i}: ${words[0]}`, `<p>${words.join(" ")} and number${i}</p>${links.join(" ")}`);
  }
}

const ODD = [
  "broken.html",
  "flaky",
  "circle",
  "endless/1",
  "round/a",
  "picture.png",
  "flood",
  "hang",
  "error",
  "private/diary",
  "javascript:alert(1)",
  "mailto:nobody@example.com",
  "http://elsewhere.invalid/",
].map((to) => `<a href="${to}">${to}</a>`).join(" ");

function hasSlow(i: number): boolean {
  return i % 50 === 0;
}

function html(title: string, body: string): Response {
  return page(`<!DOCTYPE html><title>${title}</title><h1>${title}</h1>${body}`);
}

function page(text: string): Response {
  return new Response(text, { headers: { "content-type": "text/html; charset=utf-8" } });
}

function redirect(status: number, location: string): Response {
  return new Response(null, { status, headers: { location } });
}

/** A page without an end. */
function flood(): ReadableStream<Uint8Array> {
  const chunk = new TextEncoder().encode("<p>flood</p>".repeat(5_000));
  return new ReadableStream({ pull: (controller) => controller.enqueue(chunk) });
}
