// The registry's page in headless Chromium: what it shows, as it changes, with names that would like to be markup.

import { assertEquals, assertMatch } from "@std/assert";
import { MemoryStore } from "../../registry/memory_store.ts";
import { Registry } from "../../registry/registry.ts";
import { Browser, browserPresent, browserSkipped } from "../support/browser.ts";
import { brightness, contrast } from "../support/colors.ts";

const A = "tcp@127.0.0.1:1";

const B = "tcp@127.0.0.1:2";

const INJECTED = `<img src=x onerror="document.title='injected'">`;

const SCRIPT = `</script><script>document.title='injected'</script>`;

function serve(token?: string) {
  const store = new MemoryStore();
  const registry = new Registry({ store, token, protectReads: token !== undefined });
  const http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, registry.fetch);
  return {
    store,
    url: `http://127.0.0.1:${http.addr.port}/`,
    async [Symbol.asyncDispose]() {
      await registry.close();
      await http.shutdown();
    },
  };
}

Deno.test({
  name: `registry page: in a browser, it updates live and escapes names of servers${browserSkipped}`,
  ignore: !browserPresent,
  async fn() {
    await using served = serve();
    const { store, url } = served;
    await store.grant({
      address: A,
      services: ["Arith", INJECTED, SCRIPT],
      weight: 3,
      version: "1.2",
      metadata: { zone: INJECTED, [SCRIPT]: "x" },
    }, 10_000);
    await using browser = await Browser.start();
    const page = await browser.open(url);
    const text = (selector: string) => page.text(selector);
    await page.until(`document.querySelectorAll("#instances tr").length === 1`);
    assertEquals(await text("#status"), "live");
    assertEquals(await text("#revision"), String((await store.list()).revision));
    const cells = await page.texts("#instances td");
    assertEquals(cells.slice(0, 5), [A, `Arith, ${INJECTED}, ${SCRIPT}`, "1.2", "3", "active"]);
    assertMatch(cells[5]!, /^\d+ s$/);
    assertMatch(cells[6]!, /^\d+ s$/);
    assertEquals(cells.slice(7, 9), ["10 s", `zone=${INJECTED}, ${SCRIPT}=x`]);
    assertEquals(await page.texts("#services td:first-child"), [INJECTED, SCRIPT, "Arith"].sort());
    assertEquals(
      await page.evaluate(`document.querySelectorAll("#instances img, #instances script").length`),
      0,
    );
    assertEquals(await page.evaluate("document.title"), `Registry at ${new URL(url).host}`);

    // Live: another one comes within 100 ms, and the page says so without being asked.
    await store.grant({ address: B, services: ["Arith"] }, 0);
    await page.until(`document.querySelectorAll("#instances tr").length === 2`);
    assertEquals((await page.texts("#instances td:nth-child(8)"))[1], "none");
    await page.evaluate(`document.querySelector("tr[data-address='${B}'] button").click()`);
    await page.until(`document.querySelector("tr[data-address='${B}']").dataset.state === "paused"`);
    assertEquals((await store.list()).leases[1]?.state, "paused");
    assertEquals(await page.texts("tr[data-state=paused] button"), ["Resume"]);
    await page.evaluate(`document.querySelector("tr[data-address='${A}'] button:nth-child(2)").click()`);
    await page.until(`document.querySelectorAll("tr[data-state=draining]").length === 1`);
    await store.revoke(A);
    await page.until(`document.querySelectorAll("#instances tr").length === 1`);
    await page.evaluate(`{
      const filter = document.getElementById("filter");
      filter.value = "nobody";
      filter.dispatchEvent(new Event("input"));
    }`);
    await page.until(`document.querySelectorAll("#instances tr").length === 0`);
    assertEquals(await text("#rest"), "No instances");
    assertEquals(page.complaints, []);
  },
});

Deno.test({
  name: `registry page: in a browser, it is readable in light and dark, and fits a phone${browserSkipped}`,
  ignore: !browserPresent,
  async fn() {
    await using served = serve();
    await served.store.grant({ address: A, services: ["Arith"], metadata: { zone: "z".repeat(200) } }, 0);
    await using browser = await Browser.start();
    const page = await browser.open(served.url);
    await page.until(`document.querySelectorAll("#instances tr").length === 1`);
    for (const scheme of ["light", "dark"]) {
      await page.send("Emulation.setEmulatedMedia", {
        features: [{ name: "prefers-color-scheme", value: scheme }],
      });
      const [text, soft, back] = await page.evaluate(`[
        getComputedStyle(document.body).color,
        getComputedStyle(document.querySelector("th")).color,
        getComputedStyle(document.body).backgroundColor,
      ]`) as string[];
      assertEquals(brightness(back!) > 0.5, scheme === "light", `${scheme}: ${back}`);
      // WCAG 2.1 asks for 4.5.
      assertEquals(
        contrast(text!, back!) > 7 && contrast(soft!, back!) > 4.5,
        true,
        `${scheme}: ${text} ${soft}`,
      );
    }
    for (const width of [360, 1200]) {
      await page.send("Emulation.setDeviceMetricsOverride", {
        width,
        height: 800,
        deviceScaleFactor: 1,
        mobile: false,
      });
      assertEquals(
        await page.evaluate("document.documentElement.scrollWidth <= innerWidth"),
        true,
        `${width} px`,
      );
    }
    assertEquals(page.complaints, []);
  },
});

Deno.test({
  name:
    `registry page: in a browser, addresses link to the servers' pages, and heartbeats are shown${browserSkipped}`,
  ignore: !browserPresent,
  async fn() {
    await using served = serve();
    const { store, url } = served;
    await store.grant({ address: A, metadata: { page: "http://a.test/debug/rpc" } }, 0);
    await store.grant({ address: B, metadata: { page: "javascript:alert(1)" } }, 0);
    await store.grant({ address: "wss@c.test:443/deep" }, 0);
    await using browser = await Browser.start();
    const page = await browser.open(url);
    await page.until(`document.querySelectorAll("#instances tr").length === 3`);
    const links = await page.evaluate(
      `[...document.querySelectorAll("#instances a")].map(({ href }) => href)`,
    );
    assertEquals(links, ["http://a.test/debug/rpc", "https://c.test/debug/rpc"]);
    const beats = await page.texts("#instances td:nth-child(7)");
    for (const beat of beats) assertMatch(beat, /^\d+ s$/);
    assertEquals(page.complaints, []);
  },
});

Deno.test({
  name: `registry page: in a browser, it asks for the token if one is required${browserSkipped}`,
  ignore: !browserPresent,
  async fn() {
    await using served = serve("secret");
    await served.store.grant({ address: A }, 0);
    await using browser = await Browser.start();
    const page = await browser.open(served.url);
    const enter = (token: string) =>
      page.evaluate(`{
        document.getElementById("token").value = ${JSON.stringify(token)};
        document.querySelector("#token-form button").click();
      }`);
    await page.until(`!document.getElementById("token-form").hidden`);
    assertEquals(await page.evaluate(`document.querySelectorAll("#instances tr").length`), 0);
    await enter("wrong");
    await page.until(`document.getElementById("status").textContent.includes("the token is wrong")`);
    await enter("secret");
    await page.until(`document.querySelectorAll("#instances tr").length === 1`);
    assertEquals(await page.text("#status"), "live");
    await page.evaluate(`document.querySelector("#instances button").click()`);
    await page.until(`document.querySelectorAll("tr[data-state=paused]").length === 1`);
  },
});
