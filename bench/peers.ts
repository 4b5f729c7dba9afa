// The contestants, how their processes are started, and whether they can be measured here.

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
  /** A file of peers/; absent for a program in another language. */
  readonly file?: string;
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
  { name: "go", title: "Go net/rpc", role: "peer" },
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

const HERE = new URL(".", import.meta.url).pathname;
/**
 * Permissions of a process: the network of this machine, and reading the code. It gets no environment
 * variables.
 */
const DENO = [
  "deno",
  "run",
  "--no-prompt",
  "--no-check",
  "--ignore-env",
  // For ports shared by several processes, which the benchmark of several cores uses.
  "--unstable-net",
  "--allow-net=127.0.0.1",
  `--allow-read=${new URL("..", import.meta.url).pathname}`,
  `${HERE}side.ts`,
];

/** A contestant that can be measured here, with the commands of both sides. */
export class ReadyContestant {
  readonly contestant: Contestant;
  readonly #command: readonly string[];

  constructor(contestant: Contestant, command: readonly string[]) {
    this.contestant = contestant;
    this.#command = command;
  }

  server(load: Load): string[] {
    return this.#side("server", load);
  }

  client(load: Load, port: number): string[] {
    return [...this.#side("client", load), String(port)];
  }

  #side(role: string, load: Load): string[] {
    const { file } = this.contestant;
    return [...this.#command, role, ...file === undefined ? [] : [file], JSON.stringify(load)];
  }
}

/**
 * Prepares a contestant: fetches its packages from npm, or builds it.
 *
 * @param folder Where programs are built
 * @returns The contestant with its commands, or the reason why it cannot be measured here
 */
export async function prepare(contestant: Contestant, folder: string): Promise<ReadyContestant | string> {
  const { file } = contestant;
  if (file !== undefined) {
    if (!await succeeds("deno", ["cache", "--no-check", `${HERE}peers/${file}`])) {
      return "its packages cannot be fetched from npm";
    }
    return new ReadyContestant(contestant, DENO);
  }
  if (!await succeeds("go", ["version"])) return "`go` is not installed";
  const program = `${folder}/netrpc`;
  if (!await succeeds("go", ["build", "-o", program, `${HERE}netrpc.go`])) return "`go build` fails";
  return new ReadyContestant(contestant, [program]);
}
