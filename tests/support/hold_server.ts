// A server in a process of its own, to be killed: prints its address, and how many calls it holds when those are 200.

import { Server } from "../../mod.ts";

let held = 0;
const server = new Server().register("S", {
  hold: () => {
    if (++held === 200) say("200");
    return new Promise(() => {});
  },
});
say((await server.listen("tcp@127.0.0.1:0")).address);

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}
