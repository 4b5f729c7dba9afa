#!/bin/sh
# When V8 includes the functions that await a promise in the stack of an error created in another promise's reaction.
#
# An outer promise is resolved with an inner promise, whose reaction captures the stack. In the first reaction of an
# already resolved promise, the stack contains no awaiting function; in the second, it contains all of them. The outer
# promise subscribes to the inner one a microtask later; until then nothing links the reaction to the awaiting functions.
# Seen with V8 of Deno 2.9.6 and of Node 20.
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
