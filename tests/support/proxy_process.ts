// Proxies in front of a registry or a server: nginx, Caddy and HAProxy, each a process of a test's own on a free port of 127.0.0.1,
// with its configuration in a temporary folder. Tests with one are skipped, and say so, where it is not installed.

import { freePort, installed } from "./programs.ts";
import { until } from "./waiting.ts";

/** A proxy, and its settings. */
export interface ProxyKind {
  /** The program. */
  command: "nginx" | "caddy" | "haproxy";
  /** The settings of the place that it forwards, besides the address. */
  settings?: string;
  /** Passes bytes on, without HTTP, and begins each connection with the header of this version; `settings` do not count. */
  proxyProtocol?: 1 | 2;
}

/** The arguments by which they serve. */
const ARGUMENTS = {
  nginx: (folder: string) => ["-p", folder, "-e", `${folder}/log`, "-c", `${folder}/conf`],
  caddy: (folder: string) => ["run", "--adapter=caddyfile", `--config=${folder}/conf`],
  haproxy: (folder: string) => ["-db", "-f", `${folder}/conf`],
};

/** Which of them are there to test with. */
export const proxiesPresent: Readonly<Record<ProxyKind["command"], boolean>> = {
  nginx: await installed("nginx"),
  caddy: await installed("caddy"),
  haproxy: await installed("haproxy"),
};

/** Where Debian has the module of nginx that passes bytes on. */
const STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so";
/** Whether nginx can pass bytes on. */
export const nginxStreams: boolean = await Deno.stat(STREAM_MODULE).then(() => true, () => false);

/** The configuration of a proxy that passes bytes on, from 127.0.0.2. HAProxy checks the server's health every 100 ms. */
function tcpConfiguration(
  { command, proxyProtocol }: ProxyKind,
  folder: string,
  port: number,
  target: number,
): string {
  if (command === "nginx") {
    return `load_module ${STREAM_MODULE};
daemon off; pid ${folder}/pid; error_log ${folder}/log; events {}
stream { server { listen 127.0.0.1:${port}; proxy_pass 127.0.0.1:${target}; proxy_bind 127.0.0.2; proxy_protocol on; } }`;
  }
  return `defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen front
  bind 127.0.0.1:${port}
  server one 127.0.0.1:${target} send-proxy${
    proxyProtocol === 2 ? "-v2" : ""
  } source 127.0.0.2 check inter 100
`;
}

function configuration(
  { command, settings = "" }: ProxyKind,
  folder: string,
  port: number,
  target: number,
): string {
  switch (command) {
    case "nginx":
      return `daemon off; pid ${folder}/pid; error_log ${folder}/log; events {}
http {
  access_log off;
  ${
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) =>
          `${name}_temp_path ${folder}/${name};`
        )
          .join(" ")
      }
  server { listen 127.0.0.1:${port}; location / { proxy_pass http://127.0.0.1:${target}; ${settings} } }
}`;
    case "caddy":
      return `{
  admin off
  auto_https off
}
http://127.0.0.1:${port} {
  bind 127.0.0.1
  ${settings}
  reverse_proxy 127.0.0.1:${target}
}`;
    case "haproxy":
      return `defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  ${settings}
frontend front
  bind 127.0.0.1:${port}
  default_backend registry
backend registry
  server one 127.0.0.1:${target}
`;
  }
}

/** One that runs. */
export class Proxy implements AsyncDisposable {
  readonly url: string;
  readonly #process: Deno.ChildProcess;
  readonly #folder: string;

  private constructor(url: string, process: Deno.ChildProcess, folder: string) {
    this.url = url;
    this.#process = process;
    this.#folder = folder;
  }

  /** Starts one in front of a port of this machine, and waits until it listens. */
  static async start(kind: ProxyKind, target: number): Promise<Proxy> {
    const folder = await Deno.makeTempDir({ prefix: `${kind.command}-` });
    const port = freePort();
    const write = kind.proxyProtocol === undefined ? configuration : tcpConfiguration;
    await Deno.writeTextFile(`${folder}/conf`, write(kind, folder, port, target));
    const process = new Deno.Command(kind.command, {
      args: ARGUMENTS[kind.command](folder),
      env: { HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder },
      stdout: "null",
      stderr: "null",
    }).spawn();
    const proxy = new Proxy(`http://127.0.0.1:${port}`, process, folder);
    const listens = () =>
      Deno.connect({ hostname: "127.0.0.1", port }).then((conn) => (conn.close(), true), () => false);
    await until(listens, `${kind.command} to listen`);
    return proxy;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGTERM");
    await this.#process.status;
    await Deno.remove(this.#folder, { recursive: true });
  }
}
