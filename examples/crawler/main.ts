// The crawler as one command, `deno task crawler`: starts a registry, a saver and workers, or uses the given
// ones, crawls, and shows the progress.

import {
  type Client,
  connect,
  type Discovery,
  MultiServers,
  Registry,
  RegistryDiscovery,
  serveHttp,
} from "@troodon/rpc";
import { startChild } from "./child.ts";
import { ItemSaver, PageWorker } from "./contract.ts";
import { type CrawlOptions, Engine, type Progress } from "./engine.ts";
import { aborted, Flags, print, printError, runProgram, stopSignal } from "./program.ts";
import { Site } from "./site.ts";
import { normalizeUrl } from "./url.ts";

const USAGE = `
Crawl a site with several processes

Usage: deno task crawler [options] [URL...]

Without a URL it crawls a small built-in site. Without hosts or a registry it starts a saver and workers,
and serves the search page until Ctrl-C.

  --worker-hosts HOSTS    Workers, as host:port, comma-separated
  --itemsaver-host HOST   The saver, as host:port
  --registry URL          Registry of the workers and the saver
  --workers N             Number of workers to start (3)
  --file FILE             File in which the started saver stores pages
                          (crawler.db; in memory for the built-in site)
  --http PORT             Port of that saver's search page, 0 for any free one (0)
  --max-pages N           Maximum number of URLs (1000)
  --max-depth N           Maximum number of links from the first page (20)
  --delay MS              Pause between two requests to a site
                          (1000; 0 for the built-in site)
  --timeout MS            Maximum time of a request (10000; 2000 for the built-in site)
  --max-bytes N           Maximum size of a page (2097152)
  --retries N             Retries after temporary errors (2)
  --all-hosts             Follow links to other sites, too
  --once                  Exit when the crawl is done
  --help                  Print this help
`;
/** Interval of the progress output, in ms. */
const PROGRESS_INTERVAL = 1_000;
/** Pages of the built-in site, and the duration of its slow ones, in ms. */
const BUILT_IN_SITE = { pages: 500, slow: 100 };

interface Settings {
  readonly seeds: readonly string[];
  readonly workerHosts: readonly string[];
  readonly saverHost: string | undefined;
  readonly registry: string | undefined;
  readonly workers: number;
  readonly file: string;
  readonly http: number;
  readonly once: boolean;
  readonly crawl: CrawlOptions;
}

const VALUES = [
  "worker-hosts",
  "itemsaver-host",
  "registry",
  "workers",
  "file",
  "http",
  "max-pages",
  "max-depth",
  "delay",
  "timeout",
  "max-bytes",
  "retries",
];

function read(args: readonly string[]): Settings | "help" {
  const flags = new Flags(args, { values: VALUES, switches: ["all-hosts", "once"] });
  if (flags.has("help")) return "help";
  const useBuiltIn = flags.rest.length === 0;
  const workerHosts = flags.list("worker-hosts").map(toAddress);
  const saverHost = flags.text("itemsaver-host");
  const registry = flags.text("registry");
  for (const seed of flags.rest) {
    if (normalizeUrl(seed) === undefined) {
      throw new Error(`${JSON.stringify(seed)} is not an http or https URL`);
    }
  }
  if (registry === undefined && (workerHosts.length > 0) !== (saverHost !== undefined)) {
    throw new Error("--worker-hosts and --itemsaver-host must be used together, unless --registry is given");
  }
  return {
    seeds: flags.rest,
    workerHosts,
    saverHost: saverHost === undefined ? undefined : toAddress(saverHost),
    registry,
    workers: flags.number("workers", 3, 1, 64),
    file: flags.text("file") ?? (useBuiltIn ? ":memory:" : "crawler.db"),
    http: flags.number("http", 0, 0, 65_535),
    once: flags.has("once"),
    crawl: {
      maxPages: flags.number("max-pages", 1_000, 1, 10_000_000),
      maxDepth: flags.number("max-depth", 20, 0, 1_000_000),
      delay: flags.number("delay", useBuiltIn ? 0 : 1_000, 0, 3_600_000),
      timeout: flags.number("timeout", useBuiltIn ? 2_000 : 10_000, 1, 600_000),
      maxBytes: flags.number("max-bytes", 2 ** 21, 1, 2 ** 27),
      retries: flags.number("retries", 2, 0, 10),
      allHosts: flags.has("all-hosts"),
      log: (line) => print(`crawler: ${line}`),
    },
  };
}

/** Converts a host from the command line to an address. */
function toAddress(host: string): string {
  return host.includes("@") ? host : `tcp@${host}`;
}

async function run(settings: Settings): Promise<void> {
  const stop = stopSignal();
  await using stack = new AsyncDisposableStack();
  const seeds = [...settings.seeds];
  if (seeds.length === 0) {
    const site = stack.use(new Site(BUILT_IN_SITE));
    seeds.push(site.url);
    print(`crawler: the built-in site is at ${site.url}`);
  }
  let { registry } = settings;
  const startsAll = registry === undefined && settings.saverHost === undefined;
  try {
    if (startsAll) registry = await startAll(settings, stack);
    await crawl({ ...settings, registry, seeds }, stop);
  } catch (error) {
    // Ctrl-C also stops the child processes, which causes errors.
    if (!stop.aborted) throw error;
  }
  if (!startsAll || settings.once || stop.aborted) return;
  print("crawler: the search page is served until Ctrl-C");
  await aborted(stop);
}

/**
 * Starts a registry in this process, and a saver and workers as child processes. Returns the registry's URL.
 */
async function startAll({ workers, file, http }: Settings, stack: AsyncDisposableStack): Promise<string> {
  const registry = stack.use(new Registry());
  const web = serveHttp({ hostname: "127.0.0.1", port: 0, log: printError }, registry.fetch);
  stack.use(web);
  stack.defer(() => registry.close());
  const url = `http://127.0.0.1:${web.addr.port}/_rpc_/registry`;
  print(`crawler: the registry is at ${url}; to add a worker:`);
  print(`  deno run -P=crawler-worker examples/crawler/worker.ts --registry ${url}`);
  const saver = startChild("saver.ts", ["--registry", url, "--file", file, "--http", String(http)]);
  const others = Array.from({ length: workers }, () => startChild("worker.ts", ["--registry", url]));
  const children = [saver, ...others];
  for (const child of children) stack.use(child);
  for (const line of await Promise.all(children.map((child) => child.started))) print(line);
  return url;
}

async function crawl(settings: Settings, stop: AbortSignal): Promise<void> {
  const { registry, workerHosts, saverHost, seeds } = settings;
  const discovery: Discovery = workerHosts.length > 0
    ? new MultiServers(workerHosts)
    : new RegistryDiscovery(registry!, { service: PageWorker.name });
  const saverAt = saverHost ?? new RegistryDiscovery(registry!, { service: ItemSaver.name });
  await using saver: Client = await connect(saverAt);
  const engine = new Engine(discovery, saver, settings.crawl);
  const startedAt = performance.now();
  let before = 0;
  let shown = "";
  const timer = setInterval(() => {
    const progress = engine.progress;
    const next = line(progress, progress.pages - before);
    // Print nothing while the progress is unchanged, for example during a slow page.
    if (next !== shown) print(next);
    shown = next;
    before = progress.pages;
  }, PROGRESS_INTERVAL);
  try {
    const progress = await engine.crawl(seeds, stop);
    const seconds = (performance.now() - startedAt) / 1_000;
    print(line(progress, progress.pages / seconds));
    for (const [why, times] of progress.reasons) print(`  ${times} × ${why}`);
    print(`crawler: ${stop.aborted ? "stopped" : "done"} after ${seconds.toFixed(1)} s`);
  } finally {
    clearInterval(timer);
  }
}

/** Formats the progress as one line. */
function line(progress: Progress, rate: number): string {
  const { pages, queued, running, redirects, errors, skipped, disallowed, dropped, givenBack } = progress;
  const rest = [
    `${redirects} redirects`,
    `${skipped} skipped`,
    `${disallowed} disallowed`,
    ...dropped > 0 ? [`${dropped} over the limit`] : [],
    ...givenBack > 0 ? [`${givenBack} reassigned`] : [],
  ];
  const workers = progress.workers.map(({ address, state, busy, slots, done }) => {
    return `${address} ${state === "ready" ? `${busy}/${slots}` : state} ${done}`;
  });
  return `crawler: ${pages} pages, ${queued} queued, ${running} running, ${errors} errors, ${
    rest.join(", ")
  }, ` +
    `${Math.round(rate)} pages/s; workers (busy, done): ${workers.join(", ") || "none"}`;
}

if (import.meta.main) await runProgram("crawler", USAGE, () => read(Deno.args), run);
