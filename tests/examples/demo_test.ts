// The demo as a user runs it: a process of its own, with the permissions that its task gives it.

import { assertEquals, assertMatch } from "@std/assert";

const EXPECTED = [
  ...[0, 1, 2, 3, 4].map((i) => `call Foo.sum(${i}, ${i * i}) = ${i + i * i}`),
  ...[0, 1, 2, 3, 4].map((i) => `broadcast Foo.sum(${i}, ${i * i}) = ${i + i * i}`),
  ...[0, 1, 2].map((i) => `broadcast Foo.sleep(${i}, ${i * i}) = ${i + i * i}`),
  ...[3, 4].map((i) => `broadcast Foo.sleep(${i}, ${i * i}): deadline_exceeded`),
];

Deno.test("demo: every call goes as expected, in one line each", async () => {
  const { code, stdout } = await new Deno.Command("deno", {
    args: ["run", "-P=demo", "examples/demo.ts"],
    cwd: new URL("../..", import.meta.url),
    stderr: "null",
  }).output();
  const lines = new TextDecoder().decode(stdout).trim().split("\n");
  assertEquals(EXPECTED.filter((line) => !lines.includes(line)), []);
  assertMatch(lines.join("\n"), /^call Foo\.sum\(20, 22\) over http@127\.0\.0\.1:\d+ = 42$/m);
  assertMatch(lines.join("\n"), /^debug page of server 1: Foo\.sum \d+ calls, 0 errors; Foo\.sleep 5 calls/m);
  assertEquals(lines.at(-1), "demo: 16 calls, 2 timed out as expected");
  assertEquals(code, 0);
});
