#!/bin/sh
# spawn of node:child_process fails in Deno if the list `stdio` names the same file descriptor twice.
#
# Node documents a positive integer in `stdio` as a file descriptor of the parent process that is shared with the child, and
# Node and Bun let several entries name the same one. Seen with Deno 2.9.6: "Failed to spawn 'true': Bad file descriptor (os
# error 9)"; once is fine. So a program that passes a socket or a log to a child under two numbers has to duplicate it first.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund deno@2.9.6 >/dev/null 2>&1
cat > spawn.mjs <<'JS'
import { spawn } from "node:child_process";
import { openSync } from "node:fs";

function run(descriptors) {
  return new Promise((resolve) => {
    const child = spawn("true", [], { stdio: ["ignore", "ignore", "ignore", ...descriptors] });
    child.on("error", () => resolve("error"));
    child.on("exit", (code) => resolve(code));
  });
}

const fd = openSync("/dev/null", "r");
console.log(JSON.stringify([await run([fd]), await run([fd, fd])]));
JS
seen=$(./node_modules/.bin/deno run --quiet --allow-read --allow-run --allow-env spawn.mjs)
echo "deno 2.9.6: $seen"
[ "$seen" = '[0,"error"]' ]
