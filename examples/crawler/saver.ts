// The item saver as a program: serves ItemSaver over RPC and the search page over HTTP.

import { RpcError, serveHttp, Server } from "@troodon/rpc";
import { urlHost } from "@troodon/rpc/discovery";
import { isWhole, type Item, ItemSaver } from "./contract.ts";
import { Flags, print, printError, runProgram, serveUntil, stopSignal } from "./program.ts";
import { searchPage } from "./search_page.ts";
import { Store } from "./store.ts";
import { normalizeUrl } from "./url.ts";

const USAGE = `
Store pages and search them

Usage: deno run -P=crawler-saver examples/crawler/saver.ts [options]

  --file FILE     File of the pages, :memory: for none (crawler.db)
  --port PORT     Port to listen on, 0 for any free one (0)
  --host HOST     Address to listen on (127.0.0.1)
  --http PORT     Port of the search page, on the same address, 0 for any free one (0)
  --registry URL  Registry at which to announce the saver
  --help          Print this help
`;

interface Settings {
  readonly file: string;
  readonly port: number;
  readonly host: string;
  readonly http: number;
  readonly registry: string | undefined;
}

/** Creates a server that stores pages, without listening. */
export function saverServer(store: Store): Server {
  return new Server({ log: printError }).register(ItemSaver, {
    save: (item) => store.save(checkItem(item)),
    count: () => store.count(),
    search: ({ query, limit, offset }) => {
      if (typeof query !== "string" || !isWhole(limit, 0, 100) || !isWhole(offset, 0, 10_000)) {
        throw new RpcError(
          "invalid_argument",
          "Cannot search: expected a query, a limit up to 100 and an offset",
        );
      }
      return store.search(query, limit, offset);
    },
  });
}

/** Validates an item: its URL becomes a link on the search page and must be safe to click. */
function checkItem({ url, title, text, depth }: Item): Item {
  if (typeof url !== "string" || normalizeUrl(url) !== url) {
    throw new RpcError("invalid_argument", "Cannot save page: expected a normalized http or https URL");
  }
  if (typeof title !== "string" || typeof text !== "string" || !isWhole(depth, 0, 1_000_000)) {
    throw new RpcError("invalid_argument", "Cannot save page: expected a title, text and depth");
  }
  return { url, title, text, depth };
}

function read(args: readonly string[]): Settings | "help" {
  const flags = new Flags(args, { values: ["file", "port", "host", "http", "registry"] });
  if (flags.has("help")) return "help";
  if (flags.rest.length > 0) throw new Error(`unknown argument ${flags.rest[0]}`);
  return {
    file: flags.text("file") ?? "crawler.db",
    port: flags.number("port", 0, 0, 65_535),
    host: urlHost(flags.text("host") ?? "127.0.0.1"),
    http: flags.number("http", 0, 0, 65_535),
    registry: flags.text("registry"),
  };
}

async function run({ file, port, host, http, registry }: Settings): Promise<void> {
  const stop = stopSignal();
  using store = open(file);
  const web = serveHttp(
    { hostname: host, port: http, log: printError },
    (request) => searchPage(store, request),
  );
  const server = saverServer(store);
  const { address } = await server.listen(`tcp@${host}:${port}`);
  print(`saver: listening on ${address}, search at http://${host}:${web.addr.port}/`);
  await serveUntil(stop, server, address, ItemSaver.name, registry);
  // A browser may keep its connection open; its requests have been answered by then.
  await Promise.race([web.shutdown(), new Promise((resolve) => setTimeout(resolve, 500))]);
}

function open(file: string): Store {
  try {
    return new Store(file);
  } catch (error) {
    throw new Error(`cannot open ${file}: ${(error as Error).message}`);
  }
}

if (import.meta.main) await runProgram("saver", USAGE, () => read(Deno.args), run);
