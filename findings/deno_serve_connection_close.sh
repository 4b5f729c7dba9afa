#!/bin/sh
# Deno.serve keeps a connection open although the response says `connection: close`.
#
# RFC 9112, section 9.6: a server that sends the option "close" must close the connection after that response. Seen with
# Deno 2.9.6: the header is sent, the body is complete, and the connection is still open two seconds later. The same
# handler with Node's http server closes it at once. So a server cannot disconnect a client this way.
set -eu
dir=$(mktemp -d)
trap 'kill $server 2>/dev/null; rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund deno@2.9.6 >/dev/null 2>&1
cat > server.ts <<'TS'
Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: ({ port }) => console.log(port) }, () =>
  new Response("bye", { headers: { connection: "close" } }));
TS
cat > client.mjs <<'JS'
import net from "node:net";
const socket = net.connect(Number(process.argv[2]), "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"));
let text = "", ended = false;
socket.on("data", (data) => text += data).on("end", () => ended = true);
setTimeout(() => {
  console.log(JSON.stringify({ header: /^connection: close\r$/im.test(text), body: text.endsWith("bye"), ended }));
  process.exit();
}, 2_000);
JS
./node_modules/.bin/deno run --quiet --allow-net=127.0.0.1 server.ts > port & server=$!
until [ -s port ]; do sleep 0.1; done
seen=$(node client.mjs "$(cat port)")
echo "deno 2.9.6: $seen"
[ "$seen" = '{"header":true,"body":true,"ended":false}' ]
