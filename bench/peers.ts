// Who is measured, how their processes are started, and whether they can be.

import { succeeds } from "./process.ts";
import type { Load } from "./workloads.ts";

/** Someone who is measured. */
export interface Contestant {
  /** As in `--peers`. */
  readonly name: string;
  /** As in tables. */
  readonly title: string;
  /** `limit`: what the others are held against; `ours`: this library. */
  readonly role: "limit" | "ours" | "peer";
  /** Left out unless asked for: there is another one much like it. */
  readonly onRequest?: boolean;
  /** A file of peers/; absent for a program of another language. */
  readonly file?: string;
}

/** Everyone there is, in the order of the tables. */
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
/** What a side may do: use the network of this machine, and read the code. No environment either. */
const DENO = [
  "deno",
  "run",
  "--no-prompt",
  "--no-check",
  "--ignore-env",
  // For ports that several processes share, which the bench of several cores measures.
  "--unstable-net",
  "--allow-net=127.0.0.1",
  `--allow-read=${new URL("..", import.meta.url).pathname}`,
  `${HERE}side.ts`,
];

/** Whoever can be measured here, with the commands of both sides. */
export class Ready {
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
 * Gets someone ready: fetches what is needed from npm, or builds it.
 *
 * @param folder Where programs are built
 * @returns Why it cannot be measured here, if so
 */
export async function prepare(contestant: Contestant, folder: string): Promise<Ready | string> {
  const { file } = contestant;
  if (file !== undefined) {
    if (!await succeeds("deno", ["cache", "--no-check", `${HERE}peers/${file}`])) {
      return "its packages cannot be fetched from npm";
    }
    return new Ready(contestant, DENO);
  }
  if (!await succeeds("go", ["version"])) return "`go` is not installed";
  const program = `${folder}/netrpc`;
  if (!await succeeds("go", ["build", "-o", program, `${HERE}netrpc.go`])) return "`go build` fails";
  return new Ready(contestant, [program]);
}
