// The contestants, how their processes are started, and whether they can be measured here.

import { FAR_HOST } from "./line.ts";
import { succeeds } from "./process.ts";
import type { Load } from "./workloads.ts";

/** A library or program that is measured. */
export interface Contestant {
  /** Its name in `--peers`. */
  readonly name: string;
  /** Its name in tables. */
  readonly title: string;
  /** `limit`: the reference for the others; `ours`: this library. */
  readonly role: "limit" | "ours" | "peer";
  /** Measured only on request, because another one is very similar. */
  readonly onRequest?: boolean;
  /** A file of peers/, or a program in Go. */
  readonly file: string;
  /** The Debian package of its sources, for a program in Go. */
  readonly package?: string;
}

/** All contestants, in the order of the tables. */
export const CONTESTANTS: readonly Contestant[] = [
  { name: "socket", title: "raw socket", role: "limit", file: "socket.ts" },
  { name: "socket-promise", title: "raw socket, a promise a call", role: "limit", file: "socket_promise.ts" },
  { name: "troodon", title: "this library", role: "ours", file: "troodon.ts" },
  {
    name: "troodon-ws",
    title: "this library, ws@",
    role: "peer",
    file: "troodon_ws.ts",
    onRequest: true,
  },
  { name: "go", title: "Go net/rpc", role: "peer", file: "netrpc.go" },
  { name: "birpc", title: "birpc, WebSocket", role: "peer", file: "birpc.mjs" },
  {
    name: "json-rpc-2",
    title: "json-rpc-2.0, WebSocket",
    role: "peer",
    file: "json_rpc_2.mjs",
    onRequest: true,
  },
  { name: "capnweb", title: "Cap'n Web, WebSocket", role: "peer", file: "capnweb.mjs" },
  { name: "trpc", title: "tRPC, WebSocket", role: "peer", file: "trpc.mjs" },
  { name: "orpc", title: "oRPC, WebSocket", role: "peer", file: "orpc.mjs", onRequest: true },
  { name: "fetch", title: "fetch to Deno.serve", role: "peer", file: "fetch.mjs" },
  { name: "grpc", title: "@grpc/grpc-js", role: "peer", file: "grpc.mjs" },
];

/** A contestant of bench:distance only. */
export const GRPC_GO: Contestant = {
  name: "grpc-go",
  title: "grpc-go",
  role: "peer",
  file: "grpc.go",
  package: "golang-google-grpc-dev",
};

const HERE = new URL(".", import.meta.url).pathname;
/**
 * Permissions of a process: the network of this machine and of bench:distance, and reading the code. It gets no
 * environment variables.
 */
const DENO = [
  "deno",
  "run",
  "--no-prompt",
  "--no-check",
  "--ignore-env",
  // For ports shared by several processes, which the benchmark of several cores uses.
  "--unstable-net",
  `--allow-net=127.0.0.1,${FAR_HOST}`,
  `--allow-read=${new URL("..", import.meta.url).pathname}`,
  `${HERE}side.ts`,
];

/** Go packages are those of Debian: without a module proxy, and with the versions that it maintains. */
const GO_ENV = { GO111MODULE: "off", GOPATH: "/usr/share/gocode" };

/** A contestant that can be measured here, with the commands of both sides. */
export class ReadyContestant {
  readonly contestant: Contestant;
  readonly #command: readonly string[];

  constructor(contestant: Contestant, command: readonly string[]) {
    this.contestant = contestant;
    this.#command = command;
  }

  server(load: Load): string[] {
    return [...this.#command, "server", JSON.stringify(load)];
  }

  client(load: Load, port: number): string[] {
    return [...this.#command, "client", JSON.stringify(load), String(port)];
  }
}

/**
 * Prepares a contestant: fetches its packages from npm, or builds it.
 *
 * @param folder Where programs are built
 * @returns The contestant with its commands, or the reason why it cannot be measured here
 */
export async function prepare(contestant: Contestant, folder: string): Promise<ReadyContestant | string> {
  const { file, name } = contestant;
  if (!file.endsWith(".go")) {
    const cached = await succeeds("deno", ["cache", "--no-check", `${HERE}peers/${file}`]);
    return cached
      ? new ReadyContestant(contestant, [...DENO, file])
      : "its packages cannot be fetched from npm";
  }
  if (!await succeeds("go", ["version"])) return "`go` is not installed";
  const program = `${folder}/${name}`;
  if (await succeeds("go", ["build", "-o", program, HERE + file], GO_ENV)) {
    return new ReadyContestant(contestant, [program]);
  }
  return contestant.package === undefined ? "`go build` fails" : `${contestant.package} is not installed`;
}
