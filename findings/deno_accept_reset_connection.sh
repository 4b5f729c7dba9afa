#!/bin/sh
# Deno's accept() throws NotConnected for a connection that its client reset while it waited in the queue.
#
# Linux's accept(2) returns such a connection, and reading from it fails. Seen with Deno 2.9.6: Deno.Listener.accept()
# rejects with NotConnected instead, and the next call accepts the next connection. So an accept loop must not take every
# error of accept() for a lack of resources, and pause: that would keep all clients waiting.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund deno@2.9.6 >/dev/null 2>&1
cat > accept.ts <<'TS'
import { connect } from "node:net";
const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
await new Promise<void>((resolve) => {
  const socket = connect(listener.addr.port, "127.0.0.1", () => socket.resetAndDestroy());
  socket.on("close", () => setTimeout(resolve, 200));
});
const first = await listener.accept().then(() => "a connection", (error) => error.name);
const client = await Deno.connect({ port: listener.addr.port });
const second = await listener.accept().then((conn) => (conn.close(), "a connection"), (error) => error.name);
client.close();
listener.close();
console.log(`${first}, then ${second}`);
TS
seen=$(./node_modules/.bin/deno run --quiet --allow-net=127.0.0.1,0.0.0.0 accept.ts)
echo "deno 2.9.6: $seen"
[ "$seen" = "NotConnected, then a connection" ]
