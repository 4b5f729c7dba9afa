// The page at /debug/rpc in headless Chromium: it keeps itself up to date, can be paused, is readable everywhere, and what
// others call themselves stays text.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { type Client, connect, Server } from "../../mod.ts";
import { Browser, browserPresent, browserSkipped, type Page } from "../support/browser.ts";
import { brightness, contrast } from "../support/colors.ts";
import { until } from "../support/waiting.ts";
import { portOf } from "../support/wire_harness.ts";

// Without dots, which names of methods cannot have.
const INJECTED = `<img src=x onerror="document['title']='injected'">`;
const SCRIPT = `</script><script>document['title']='injected'</script>`;

/** A server with a page, and a call of it that lasts as long as the test. */
async function serve() {
  const ends: (() => void)[] = [];
  const server = new Server().register("Shop", {
    order: (value: unknown) => value,
    wait: () => new Promise<void>((end) => ends.push(end)),
    ticks: async function* () {
      yield 1;
      await new Promise<void>((end) => ends.push(end));
    },
    [INJECTED]: () => 1,
    [SCRIPT]: () => 1,
  });
  const { address } = await server.listen("http@127.0.0.1:0");
  const client: Client = await connect(address);
  const waiting = client.call("Shop.wait");
  await until(() => ends.length === 1, "the call to be in flight");
  return {
    server,
    client,
    url: `http://127.0.0.1:${portOf(address)}/debug/rpc`,
    async end() {
      for (const end of ends.splice(0)) end();
      await waiting;
    },
    async [Symbol.asyncDispose]() {
      await this.end();
      await client.close();
      await server.close();
    },
  };
}

/** A cell of a table's first row, by its heading. */
function cell(table: string, heading: string): string {
  return `document.querySelector('table[aria-label^="${table}"] td[data-label="${heading}"]').textContent`;
}

/** An age in s, as the page writes it while it is below a minute. */
async function age(page: Page): Promise<number> {
  const text = await page.evaluate(cell("Calls in flight", "Age")) as string;
  const [, number, unit] = /^([\d.,]+) (µs|ms|s)$/.exec(text)!;
  return Number(number!.replace(",", "")) / { "µs": 1e6, ms: 1e3, s: 1 }[unit!]!;
}

Deno.test({
  name: `debug page: in a browser, the age of a call grows, and new entries appear by themselves`,
  ignore: !browserPresent,
  async fn() {
    await using at = await serve();
    await using browser = await Browser.start();
    const page = await browser.open(at.url);
    await page.until(`document.getElementById("status").textContent === "live"`);
    assertEquals(await page.texts('table[aria-label^="Calls in flight"] tbody th'), ["Shop.wait"]);
    const before = await age(page);
    assertEquals(await page.evaluate(`document.querySelectorAll(".histogram").length`), 0);
    // What is not touched stays the same element: nothing flickers, and what is selected stays so.
    await page.evaluate(`{
      window.row = document.querySelector("tbody tr");
      const selected = document.querySelector('table[aria-label^="Calls in flight"] bdi');
      getSelection().selectAllChildren(selected);
      window.selected = String(getSelection());
      document.getElementById("pause").focus();
    }`);
    for (let i = 0; i < 50; i++) await at.client.call("Shop.order", i);
    await page.until(`document.querySelectorAll(".histogram .bars").length === 1`);
    await page.until(`${cell("Methods of Shop", "Calls")} === "50"`);
    const label = await page.evaluate(
      `document.querySelector(".histogram").getAttribute("aria-label")`,
    ) as string;
    assertMatch(label, /^Latency of Shop\.order: half of the calls within /);
    const box = await page.evaluate(`{
      const { width, height } = document.querySelector(".histogram .bars").getBoundingClientRect();
      [width, height];
    }`) as number[];
    assert(box[0]! > 0 && box[1]! > 20, `the bars are drawn: ${box}`);
    await page.until(`/^\\d/.test(${cell("Methods of Shop", "Per second")})`);
    await page.until(`document.querySelector(".history path") !== null`);
    assert(await age(page) > before + 0.5, "it is older");
    assertEquals(await page.evaluate(`row.isConnected && row === document.querySelector("tbody tr")`), true);
    assertMatch(await page.evaluate("selected") as string, /^tcp@127/);
    assertEquals(await page.evaluate("String(getSelection()) === selected"), true, "it is still selected");
    assertEquals(await page.evaluate("document.activeElement.id"), "pause");

    const ticks = at.client.stream("Shop.ticks");
    await ticks.next();
    await page.until(`${cell("Streams", "Waits for")} === "the handler's next item"`);
    assertEquals(await page.evaluate(cell("Streams", "Items")), "1");
    await at.end();
    await ticks.return?.();
    await page.until(`document.querySelector('table[aria-label^="Calls in flight"]') === null`);
    assertEquals(page.complaints, []);
  },
});

Deno.test({
  name: `debug page: in a browser, its script reuses the elements that the server wrote`,
  ignore: !browserPresent,
  async fn() {
    await using at = await serve();
    await at.client.call("Shop.order");
    at.server.show("Others", { stats: () => ({ one: 1, list: [{ name: "x", empty: "" }] }) });
    await using browser = await Browser.start();
    const page = await browser.open("about:blank");
    const source = `addEventListener("DOMContentLoaded", () => {
      window.made = [];
      new MutationObserver((changes) => {
        for (const { target, addedNodes } of changes) {
          if (addedNodes.length > 0) made.push(target.getAttribute("class") ?? target.localName);
        }
      }).observe(document.querySelector("main"), { childList: true, subtree: true });
    })`;
    await page.send("Page.addScriptToEvaluateOnNewDocument", { source });
    await page.send("Page.navigate", { url: at.url });
    await page.until(`document.querySelector(".history path") !== null`);
    // Only what the script alone can know: rates, and the picture of them.
    assertEquals(await page.evaluate("[...new Set(made)].sort()"), ["history", "rate"]);
    assertEquals(page.complaints, []);
  },
});

Deno.test({
  name: `debug page: in a browser, a pause stops updates, and resuming brings it up to date`,
  ignore: !browserPresent,
  async fn() {
    await using at = await serve();
    await using browser = await Browser.start();
    const page = await browser.open("about:blank");
    // Every timer that is set, so that it can be seen that nothing is left to happen.
    const source = `{
      window.timers = new Set();
      const { setTimeout, clearTimeout } = window;
      window.setTimeout = (run, delay) => {
        const timer = setTimeout(() => (timers.delete(timer), run()), delay);
        timers.add(timer);
        return timer;
      };
      window.clearTimeout = (timer) => (timers.delete(timer), clearTimeout(timer));
    }`;
    await page.send("Page.addScriptToEvaluateOnNewDocument", { source });
    await page.send("Page.navigate", { url: at.url });
    const calls = cell("Methods of Shop", "Calls");
    const press = () => page.evaluate(`document.getElementById("pause").click()`);
    await page.until(`document.getElementById("status").textContent === "live"`);
    assertEquals(await page.evaluate("timers.size > 0"), true);
    await press();
    assertEquals(await page.text("#status"), "paused");
    assertEquals(
      await page.evaluate(`document.getElementById("pause").getAttribute("aria-pressed")`),
      "true",
    );
    await at.client.call("Shop.order");
    await page.until("timers.size === 0");
    assertEquals(await page.evaluate(calls), "0");
    await press();
    await page.until(`${calls} === "1"`);
    await page.until(`document.getElementById("status").textContent === "live"`);
    assertEquals(
      await page.evaluate(`document.getElementById("pause").getAttribute("aria-pressed")`),
      "false",
    );
    assertEquals(page.complaints, []);
  },
});

Deno.test({
  name: `debug page: in a browser, it says when the server is away, and continues with the next server`,
  ignore: !browserPresent,
  async fn() {
    const first = await serve();
    await using browser = await Browser.start();
    const page = await browser.open(first.url);
    await page.until(`document.getElementById("status").textContent === "live"`);
    await first[Symbol.asyncDispose]();
    await page.until(`document.getElementById("status").textContent.startsWith("away")`);
    await using second = new Server().register("Other", { one: () => 1 });
    await second.listen(`http@127.0.0.1:${new URL(first.url).port}`);
    await page.until(`document.querySelector("table").getAttribute("aria-label") === "Methods of Other"`);
    assertEquals(await page.text("#status"), "live");
  },
});

Deno.test({
  name: `debug page: in a browser, no name becomes markup, at first or later${browserSkipped}`,
  ignore: !browserPresent,
  async fn() {
    await using at = await serve();
    at.server.show(INJECTED, {
      stats: () => ({ [SCRIPT]: INJECTED, list: [{ [INJECTED]: SCRIPT, state: SCRIPT }] }),
    });
    await using browser = await Browser.start();
    const page = await browser.open(at.url);
    await page.until(`document.getElementById("status").textContent === "live"`);
    const check = async () => {
      assertEquals(await page.texts("table[aria-label='Methods of Shop'] tbody th"), [
        "order",
        "wait",
        "ticks",
        INJECTED,
        SCRIPT,
      ]);
      assertEquals(await page.evaluate(`document.querySelectorAll("main img, main script").length`), 0);
      assertEquals(await page.evaluate("document.title"), `RPC server at ${new URL(at.url).host}`);
      assertEquals((await page.texts("h2")).at(-1), INJECTED);
    };
    await check();
    for (const name of [INJECTED, SCRIPT]) await at.client.call(`Shop.${name}`);
    await page.until(`document.querySelectorAll(".histogram").length === 2`);
    await check();
    assertEquals(page.complaints, []);
    // Nor could it: the page's policy forbids making elements of text.
    const markup = `document.createElement("p").innerHTML = "<b>x</b>"`;
    const refused = await page.evaluate(
      `(() => { try { ${markup}; } catch (error) { return error.message; } })()`,
    );
    assertMatch(String(refused), /TrustedHTML/);
  },
});

Deno.test({
  name: `debug page: in a browser without JavaScript, it is a static page`,
  ignore: !browserPresent,
  async fn() {
    await using at = await serve();
    await at.client.call("Shop.order");
    await using browser = await Browser.start();
    const page = await browser.open("about:blank");
    await page.send("Emulation.setScriptExecutionDisabled", { value: true });
    await page.send("Page.navigate", { url: at.url });
    await page.until(`document.querySelectorAll(".histogram .bars").length === 1`);
    assertEquals(await page.evaluate(`getComputedStyle(document.getElementById("pause")).display`), "none");
    assertEquals(await page.evaluate(`document.querySelector("noscript a").textContent`), "Load it again");
    assertEquals(await page.texts('table[aria-label^="Calls in flight"] tbody th'), ["Shop.wait"]);
  },
});

Deno.test({
  name: `debug page: in a browser, it asks for a password if the server requires one`,
  ignore: !browserPresent,
  async fn() {
    const ask = { status: 401, headers: { "www-authenticate": 'Basic realm="rpc"' } };
    const right = `Basic ${btoa("ops:secret")}`;
    await using server = new Server({
      monitoring: ({ headers }) =>
        headers.get("authorization") === right || new Response("Who are you?", ask),
    });
    server.register("Shop", { order: () => 1 });
    const { address } = await server.listen("http@127.0.0.1:0");
    await using client = await connect(address);
    await using browser = await Browser.start();
    const page = await browser.open(`http://ops:secret@127.0.0.1:${portOf(address)}/debug/rpc`);
    await page.until(`document.getElementById("status")?.textContent === "live"`);
    await client.call("Shop.order");
    await page.until(`${cell("Methods of Shop", "Calls")} === "1"`);
    assertEquals(await page.text("#status"), "live");
    const other = await browser.open(`http://ops:wrong@localhost:${portOf(address)}/debug/rpc`);
    await other.until(
      `document.body?.textContent.includes("Who are you?") || location.protocol === "chrome-error:"`,
    );
    assertEquals(page.complaints, []);
  },
});

Deno.test({
  name: `debug page: in a browser, it is readable in light and dark, and fits a phone${browserSkipped}`,
  ignore: !browserPresent,
  async fn() {
    await using at = await serve();
    at.server.show("Long", {
      stats: () => ({ text: "z".repeat(300), list: [{ address: "z".repeat(200) }] }),
    });
    await at.client.call("Shop.order");
    await using browser = await Browser.start();
    const page = await browser.open(at.url);
    await page.until(`document.querySelector(".history path") !== null`);
    for (const scheme of ["light", "dark"]) {
      await page.send("Emulation.setEmulatedMedia", {
        features: [{ name: "prefers-color-scheme", value: scheme }],
      });
      const style = (selector: string, property: string) =>
        page.evaluate(`getComputedStyle(document.querySelector("${selector}")).${property}`) as Promise<
          string
        >;
      const back = await style("body", "backgroundColor");
      assertEquals(brightness(back) > 0.5, scheme === "light", `${scheme}: ${back}`);
      // WCAG 2.1 asks for 4.5 for text and for 3 for graphics.
      assert(contrast(await style("body", "color"), back) > 7, scheme);
      for (
        const selector of ["thead th", ".rest, small", "#status", ".histogram text", ".histogram text.p99"]
      ) {
        const property = selector.startsWith(".histogram") ? "fill" : "color";
        assert(contrast(await style(selector, property), back) > 4.5, `${scheme}: ${selector}`);
      }
      for (
        const [selector, property] of [[".bars", "fill"], ["path.p50", "stroke"], [
          "path.p99",
          "stroke",
        ]] as const
      ) {
        assert(contrast(await style(selector, property), back) > 3, `${scheme}: ${selector}`);
      }
    }
    for (const width of [360, 800, 1200]) {
      const screen = { width, height: 800, deviceScaleFactor: 1, mobile: false };
      await page.send("Emulation.setDeviceMetricsOverride", screen);
      assertEquals(
        await page.evaluate("document.documentElement.scrollWidth <= innerWidth"),
        true,
        `${width} px: ${await page.evaluate("document.documentElement.scrollWidth")}`,
      );
      // What screen readers see: tables are tables, also where they are cards, and pictures have words.
      const { nodes } = await page.send("Accessibility.getFullAXTree") as {
        nodes: { ignored: boolean; role: { value: string }; name?: { value: string } }[];
      };
      const named = (role: string) =>
        nodes.filter((node) => !node.ignored && node.role.value === role).map(({ name }) =>
          name?.value ?? ""
        );
      assertEquals(named("table").slice(0, 2), ["Methods of Shop", "Calls in flight, oldest first"]);
      assertEquals(named("rowheader").slice(0, 3), ["order", "wait", "ticks"]);
      assertEquals([named("cell").length > 20, named("button")], [true, ["Pause"]]);
      assertMatch(named("image").join(), /^Latency of Shop\.order: half of the calls within /);
    }
    assertEquals(page.complaints, []);
  },
});
