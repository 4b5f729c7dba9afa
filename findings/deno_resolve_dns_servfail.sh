#!/bin/sh
# Deno.resolveDns reports a DNS server that fails (SERVFAIL) with the same error as a name that does not exist (NXDOMAIN).
#
# RFC 1035, section 4.1.1: response code 2 means that the server could not process the query, 3 that the name does not exist.
# Seen with Deno 2.9.6: both are Deno.errors.NotFound. Node documents the codes ESERVFAIL and ENOTFOUND for them. So a
# program that discovers its peers by Deno.resolveDns cannot tell an outage of DNS from an empty list.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund deno@2.9.6 >/dev/null 2>&1
cat > resolve.ts <<'TS'
const names: Record<number, string> = {};
for (const code of [2, 3]) {
  const server = Deno.listenDatagram({ hostname: "127.0.0.1", port: 0, transport: "udp" });
  const { port } = server.addr as Deno.NetAddr;
  (async () => {
    for await (const [query, from] of server) {
      const answer = query.slice();
      answer[2] = 0x81; // A response, recursion desired
      answer[3] = 0x80 | code;
      await server.send(answer, from);
    }
  })();
  const nameServer = { ipAddr: "127.0.0.1", port };
  names[code] = await Deno.resolveDns("name.example.", "A", { nameServer }).then(() => "none", (error) => error.name);
  server.close();
}
console.log(JSON.stringify(names));
Deno.exit();
TS
seen=$(./node_modules/.bin/deno run --quiet --unstable-net --allow-net resolve.ts)
echo "deno 2.9.6: $seen"
[ "$seen" = '{"2":"NotFound","3":"NotFound"}' ]
