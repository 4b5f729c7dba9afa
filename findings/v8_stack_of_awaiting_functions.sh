#!/bin/sh
# Where V8 finds the functions that await a promise, for the stack of an error that is made elsewhere.
#
# A promise that was resolved with another one, whose reaction captures the stack: in the first reaction of a promise that
# was resolved already the stack names nothing, in the second it names every awaiting function. The outer promise begins
# to wait for the inner one a microtask later, and until then nothing leads from the reaction to them. Seen with V8 of
# Deno 2.9.6 and of Node 20.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund deno@2.9.6 >/dev/null 2>&1
cat > stack.mjs <<'JS'
function rejected(hops) {
  let promise = Promise.resolve();
  for (let i = 1; i < hops; i++) promise = promise.then(() => {});
  return promise.then(() => {
    throw new Error("elsewhere");
  });
}
async function seen(hops) {
  let resolve;
  const outer = new Promise((settle) => resolve = settle);
  async function caller() {
    await outer;
  }
  const failed = caller().catch((error) => error);
  await new Promise((done) => setTimeout(done, 1));
  resolve(rejected(hops));
  return (await failed).stack.includes("caller");
}
console.log(JSON.stringify([await seen(1), await seen(2)]));
JS
for runtime in "./node_modules/.bin/deno run --quiet" node; do
  out=$($runtime stack.mjs)
  echo "$runtime: $out"
  [ "$out" = "[false,true]" ]
done
