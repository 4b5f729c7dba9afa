// A server in a process of its own that opens files until there are no more, when a line arrives. Run by acceptor_test.ts.

import { Server } from "../../mod.ts";
import { pem } from "./certs.ts";

// Deno 2.9 panics where it comes to its own files for signals when there are none left.
Deno.addSignalListener("SIGHUP", () => {});

const transport = Deno.args[0]!;
const files: Deno.FsFile[] = [];

const server = new Server({
  tls: { cert: pem("server.pem"), key: pem("server.key") },
  log: (message) => {
    if (message.includes(", retrying: ")) say(`log ${message.slice(0, message.indexOf(": "))}`);
  },
});
server.register("Echo", { echo: (value: unknown) => value });
server.register("Server", { acceptErrors: () => server.stats().acceptErrors });
say((await server.listen(`${transport}@127.0.0.1:0`)).address);

for await (const order of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  if (order === "fill\n") {
    try {
      for (;;) files.push(Deno.openSync("/dev/null"));
    } catch {
      say("full");
    }
  } else {
    for (const file of files.splice(0)) file.close();
    say("free");
  }
}

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}
