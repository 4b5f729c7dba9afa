// A worker as a program: serves PageWorker, and announces itself if there is a registry.

import { RpcError, Server } from "@troodon/rpc";
import { urlHost } from "@troodon/rpc/discovery";
import { isWhole, MAX_SLOTS, PageWorker } from "./contract.ts";
import { fetchPage, fetchRobots } from "./fetch_page.ts";
import { Flags, print, printError, runProgram, serveUntil, stopSignal } from "./program.ts";
import { normalizeUrl } from "./url.ts";

const USAGE = `
Fetch and parse pages for a crawler

Usage: deno run -P=crawler-worker examples/crawler/worker.ts [options]

  --port PORT     Port to listen on, 0 for any free one (0)
  --host HOST     Address to listen on (127.0.0.1)
  --slots N       Number of concurrent pages (4)
  --registry URL  Registry at which to announce the worker
  --help          Print this help
`;

/** Maximum values of a job: the time of a page in ms, and its size in bytes. */
const MAX_TIMEOUT = 600_000;
const MAX_BYTES = 2 ** 27;

interface Settings {
  readonly port: number;
  readonly host: string;
  readonly slots: number;
  readonly registry: string | undefined;
}

/** Creates a worker's server, without listening. */
export function workerServer(slots: number): Server {
  return new Server({ log: printError }).register(PageWorker, {
    slots: () => slots,
    fetch: (job, { signal }) => {
      const url = normalizeUrl(String(job?.url));
      if (
        url === undefined || !isWhole(job.timeout, 1, MAX_TIMEOUT) || !isWhole(job.maxBytes, 0, MAX_BYTES)
      ) {
        throw new RpcError("invalid_argument", "Cannot fetch page: expected a URL, timeout and maxBytes");
      }
      return fetchPage({ ...job, url }, signal);
    },
    robots: (job, { signal }) => {
      const url = normalizeUrl(String(job?.origin));
      if (url === undefined || !isWhole(job.timeout, 1, MAX_TIMEOUT)) {
        throw new RpcError("invalid_argument", "Cannot fetch robots.txt: expected an origin and a timeout");
      }
      return fetchRobots({ ...job, origin: new URL(url).origin }, signal);
    },
  });
}

function read(args: readonly string[]): Settings | "help" {
  const flags = new Flags(args, { values: ["port", "host", "slots", "registry"] });
  if (flags.has("help")) return "help";
  if (flags.rest.length > 0) throw new Error(`unknown argument ${flags.rest[0]}`);
  return {
    port: flags.number("port", 0, 0, 65_535),
    host: urlHost(flags.text("host") ?? "127.0.0.1"),
    slots: flags.number("slots", 4, 1, MAX_SLOTS),
    registry: flags.text("registry"),
  };
}

async function run({ port, host, slots, registry }: Settings): Promise<void> {
  const stop = stopSignal();
  const server = workerServer(slots);
  const { address } = await server.listen(`tcp@${host}:${port}`);
  print(`worker: listening on ${address}`);
  await serveUntil(stop, server, address, PageWorker.name, registry);
}

if (import.meta.main) await runProgram("worker", USAGE, () => read(Deno.args), run);
