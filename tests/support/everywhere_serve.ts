// What everywhere.ts calls, in Node and Bun, bundled. Arguments: certificate, key and authority in PEM, the path of a Unix socket. Prints
// where it serves, and serves until its input ends.

import { announce, Registry, serveHttp } from "../../node.ts";
import { TOKEN, type Where } from "./everywhere.ts";
import { EverywhereServices } from "./everywhere_services.ts";

declare const process: {
  argv: string[];
  stdin: { on(event: string, listener: () => void): void; resume(): void };
};

const [cert = "", key = "", ca = "", path = ""] = process.argv.slice(2);
const services = new EverywhereServices({ cert, key });
await services.listen(["tcp@127.0.0.1:0", "tls@127.0.0.1:0", "http@127.0.0.1:0", `unix@${path}`]);
const registry = new Registry({ token: TOKEN, protectReads: true });
const http = await serveHttp({ port: 0 }, registry.fetch);
const url = `http://127.0.0.1:${http.addr.port}`;
const registration = await announce(url, { address: services.addresses[0]! }, { token: TOKEN });
const web = await serveHttp({ port: 0 }, (request, info) => services.server.fetch(request, info));
const host = services.addresses[2]!.slice("http@".length);
const where: Where & { web: string } = {
  host,
  registry: url,
  addresses: services.addresses,
  ca,
  web: `http://127.0.0.1:${web.addr.port}`,
};
// deno-lint-ignore no-console -- how it reports
console.log(JSON.stringify(where));
process.stdin.on("end", async () => {
  await registration.close();
  await services[Symbol.asyncDispose]();
  for (const each of [http, web]) await each.shutdown();
  await registry.close();
  // deno-lint-ignore no-console -- how it reports
  console.log("closed");
});
process.stdin.resume();
