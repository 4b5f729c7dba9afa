// deno-lint-ignore-file no-console -- the output is this program's purpose
// Measures how many redirects per second a replica serves from its cache, compared with a `Deno.serve` that
// only redirects: both as processes, in turn, over the same kind of connections. The exit code is 1 below a
// ratio of 0.7.
//   deno run -P=shortener examples/shortener/speed.ts

const MAIN = new URL("main.ts", import.meta.url).href;
const SELF = import.meta.url;

const CONNECTIONS = 32;
const ROUNDS = 9;
/** Duration of each round, in ms. */
const ROUND = 1_000;
const GOAL = 0.7;

/** Starts a process, and reads its addresses from its first line. */
async function start(permissions: string[], script: string, args: string[]) {
  const process = new Deno.Command("deno", {
    args: ["run", "--quiet", "--allow-net=127.0.0.1", ...permissions, script, ...args],
    stdout: "piped",
  }).spawn();
  const { value = "" } = await process.stdout.pipeThrough(new TextDecoderStream()).getReader().read();
  return { process, url: /http:\/\/[^/]+/.exec(value)![0], rpc: /RPC at tcp@([^,]+)/.exec(value)?.[1] ?? "" };
}

/** Requests a path repeatedly on one connection, and counts the responses, which all have the same length. */
async function requestRepeatedly(url: string, path: string, until: number): Promise<number> {
  const { hostname, port, host } = new URL(url);
  using conn = await Deno.connect({ hostname, port: Number(port) });
  conn.setNoDelay();
  const request = new TextEncoder().encode(`GET ${path} HTTP/1.1\r\nhost: ${host}\r\n\r\n`);
  const buffer = new Uint8Array(4_096);
  let responses = 0;
  for (; performance.now() < until; responses++) {
    await conn.write(request);
    const n = await conn.read(buffer);
    if (n === null) throw new Error("The connection was closed");
    // "HTTP/1.1 302": a small response arrives in one read.
    if (buffer[9] !== 0x33) throw new Error(new TextDecoder().decode(buffer.subarray(0, n)));
  }
  return responses;
}

/** Redirects per second. */
async function rate(url: string, path: string): Promise<number> {
  const startedAt = performance.now();
  const requests = Array.from({ length: CONNECTIONS }, () => requestRepeatedly(url, path, startedAt + ROUND));
  const responses = (await Promise.all(requests)).reduce((sum, n) => sum + n, 0);
  return responses * 1_000 / (performance.now() - startedAt);
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

async function main(): Promise<void> {
  const dir = await Deno.makeTempDir({ dir: "/tmp", prefix: "shortener-" });
  const files = [`--allow-read=${dir}`, `--allow-write=${dir}`];
  const master = await start(files, MAIN, ["--http", "0", "--rpc", "0", "--file", `${dir}/urls.db`]);
  const replica = await start([], MAIN, ["--http", "0", "--master", master.rpc]);
  const bare = await start([], SELF, ["--bare"]);
  const body = new URLSearchParams({ url: "https://example.com/" });
  const short = await (await fetch(`${replica.url}/add`, { method: "POST", body })).text();
  const { pathname } = new URL(short.trim());
  const rates = { bare: [] as number[], replica: [] as number[] };
  // The first round is a warm-up.
  for (let round = 0; round <= ROUNDS; round++) {
    const bareRate = await rate(bare.url, pathname);
    const replicaRate = await rate(replica.url, pathname);
    if (round === 0) continue;
    rates.bare.push(bareRate);
    rates.replica.push(replicaRate);
  }
  const ratio = median(rates.replica.map((rate, i) => rate / rates.bare[i]!));
  console.log(`bare Deno.serve: ${Math.round(median(rates.bare))} redirects per second`);
  console.log(`a replica:       ${Math.round(median(rates.replica))} redirects per second`);
  console.log(`ratio:           ${ratio.toFixed(2)} (guaranteed: at least ${GOAL})`);
  for (const { process } of [bare, replica, master]) {
    process.kill("SIGTERM");
    await process.status;
  }
  await Deno.remove(dir, { recursive: true });
  Deno.exit(ratio < GOAL ? 1 : 0);
}

if (Deno.args.includes("--bare")) {
  const onListen = ({ port }: { port: number }) => console.log(`at http://127.0.0.1:${port}/`);
  Deno.serve({ hostname: "127.0.0.1", port: 0, onListen }, () => {
    return new Response(null, { status: 302, headers: { location: "https://example.com/" } });
  });
} else await main();
