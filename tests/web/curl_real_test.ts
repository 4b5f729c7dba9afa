// The door with curl: what people type, and what scripts rely on.

import { assertEquals, assertStringIncludes } from "@std/assert";
import { ProbeDoor } from "./probe.ts";

async function installed(): Promise<boolean> {
  try {
    return (await new Deno.Command("curl", { args: ["--version"], stdout: "null" }).output()).success;
  } catch {
    return false;
  }
}

const present = await installed();

async function curl(...args: string[]): Promise<{ code: number; text: string }> {
  const { code, stdout } = await new Deno.Command("curl", { args: ["--silent", "--show-error", ...args] })
    .output();
  return { code, text: new TextDecoder().decode(stdout) };
}

function testCurl(name: string, test: (url: string) => Promise<void>): void {
  Deno.test({
    name: `web with curl: ${name}${present ? "" : " [SKIPPED: curl is not installed]"}`,
    ignore: !present,
    fn: async () => {
      await using door = new ProbeDoor();
      await test(`${door.url}/vectors.v1.Probe`);
    },
  });
}

testCurl("a call by --json, over both versions of HTTP", async (url) => {
  for (const version of ["--http1.1", "--http2-prior-knowledge"]) {
    const { text } = await curl(version, "--json", '{"a":1,"b":2}', `${url}/sum`);
    assertEquals(text, '{"sum":3}');
  }
});

testCurl("a refusal says what is right, and -f makes it an exit code", async (url) => {
  const { text } = await curl("-d", '{"a":1}', `${url}/sum`);
  assertStringIncludes(JSON.parse(text).message, "curl sends that with --json");
  assertEquals((await curl("-f", "-d", '{"a":1}', `${url}/sum`)).code, 22);
});

testCurl("a read-only method by GET", async (url) => {
  const { text } = await curl(
    "-G",
    `${url}/look`,
    "-d",
    "encoding=json",
    "--data-urlencode",
    'message={"a":1,"b":2}',
  );
  assertEquals(text, '{"sum":3}');
});

testCurl("a stream as lines, and as events", async (url) => {
  const lines = await curl("-N", "--json", '{"n":2}', "-H", "accept: application/x-ndjson", `${url}/count`);
  assertEquals(lines.text, '{"v":1}\n{"v":2}\n');
  const events = await curl("-N", "--json", '{"n":1}', "-H", "accept: text/event-stream", `${url}/count`);
  assertEquals(events.text, 'data: {"v":1}\n\nid: end\nevent: end\ndata: {}\n\n');
});

testCurl("a large body, for which curl waits for 100 Continue", async (url) => {
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(file, JSON.stringify({ text: "x".repeat(1_048_000) }));
    const { text } = await curl("--json", `@${file}`, `${url}/echo`);
    assertEquals(JSON.parse(text).text.length, 1_048_000);
  } finally {
    await Deno.remove(file);
  }
});

testCurl("health", async (url) => {
  assertEquals((await curl(new URL("/healthz", url).href)).text, '{"status":"serving"}');
});
