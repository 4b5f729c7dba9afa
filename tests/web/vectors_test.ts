// The door against docs/vectors/connect.json, over HTTP/1.1 and over HTTP/2 without TLS.

import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import http from "node:http";
import http2 from "node:http2";
import { gunzipSync, gzipSync } from "node:zlib";
import { valueBytes } from "../../web/value_bytes.ts";
import { ProbeDoor } from "./probe.ts";

type Body =
  | null
  | { text: string }
  | { hex: string }
  | { repeat: { text: string; times: number } }
  | { gzip: Body }
  | { envelopes: ({ flags: number } & Body)[] };

type HeaderRule = string | { match?: string; absent?: true; absentOrMatch?: string };

// deno-lint-ignore no-explicit-any -- values of any JSON
type Json = any;

interface EnvelopeRule {
  flags: number;
  json?: Json;
  jsonMatch?: Json;
  onlyKeys?: string[];
}

interface Vector {
  name: string;
  request: {
    method: string;
    path: string;
    headers: Record<string, string | string[]>;
    body: Body;
    chunked?: boolean;
    splitEvery?: number;
  };
  expect: {
    status: number | number[];
    headers?: Record<string, HeaderRule>;
    body: {
      json?: Json;
      jsonMatch?: Json;
      onlyKeys?: string[];
      never?: string;
      envelopes?: EnvelopeRule[];
      envelopesEndWith?: EnvelopeRule;
    };
    never?: string;
  };
}

interface Answer {
  status: number;
  headers: Record<string, string>;
  body: Uint8Array;
}

const { vectors, values } = JSON.parse(
  await Deno.readTextFile(new URL("../../docs/vectors/connect.json", import.meta.url)),
) as { vectors: Vector[]; values: { json: unknown; bytes: string }[] };

function bytesOf(body: Body): Uint8Array | null {
  if (body === null) return null;
  if ("hex" in body) return Uint8Array.fromHex(body.hex);
  if ("repeat" in body) return new TextEncoder().encode(body.repeat.text.repeat(body.repeat.times));
  if ("gzip" in body) return new Uint8Array(gzipSync(bytesOf(body.gzip)!));
  if ("text" in body) return new TextEncoder().encode(body.text);
  const all = body.envelopes.flatMap(({ flags, ...each }) => {
    const message = bytesOf(each as Body)!;
    const head = new Uint8Array(5);
    head[0] = flags;
    new DataView(head.buffer).setUint32(1, message.length);
    return [head, message];
  });
  return new Uint8Array(Buffer.concat(all));
}

function partsOf({ body, splitEvery }: Vector["request"]): { whole: Uint8Array | null; parts: Uint8Array[] } {
  const whole = bytesOf(body);
  if (whole === null || splitEvery === undefined) return { whole, parts: whole === null ? [] : [whole] };
  const parts = [];
  for (let at = 0; at < whole.length; at += splitEvery) parts.push(whole.subarray(at, at + splitEvery));
  return { whole, parts };
}

function headersOf({ headers }: Vector["request"], self: string): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, value === "{self}" ? self : value]),
  );
}

function overHttp1(port: number, request: Vector["request"]): Promise<Answer> {
  const { whole, parts } = partsOf(request);
  const headers = headersOf(request, `http://127.0.0.1:${port}`);
  if (!request.chunked && whole !== null) headers["content-length"] = String(whole.length);
  return new Promise((resolve, reject) => {
    const { method, path } = request;
    const sent = http.request(
      { host: "127.0.0.1", port, method, path, headers, agent: false },
      (response) => {
        const body: Uint8Array[] = [];
        response.on("data", (part: Uint8Array) => body.push(part));
        response.on("end", () =>
          resolve({
            status: response.statusCode!,
            headers: response.headers as Record<string, string>,
            body: Buffer.concat(body),
          }));
        response.on("error", reject);
      },
    );
    sent.on("error", reject);
    for (const part of parts) sent.write(part);
    sent.end();
  });
}

function overHttp2(
  client: http2.ClientHttp2Session,
  port: number,
  request: Vector["request"],
): Promise<Answer> {
  const { whole, parts } = partsOf(request);
  const headers = headersOf(request, `http://127.0.0.1:${port}`);
  if (!request.chunked && whole !== null) headers["content-length"] = String(whole.length);
  return new Promise((resolve, reject) => {
    const stream = client.request({ ":method": request.method, ":path": request.path, ...headers }, {
      endStream: parts.length === 0,
    });
    let head: Record<string, string> = {};
    const body: Uint8Array[] = [];
    stream.on("response", (headers: Record<string, string>) => head = headers);
    stream.on("data", (part: Uint8Array) => body.push(part));
    stream.on(
      "end",
      () => resolve({ status: Number(head[":status"]), headers: head, body: Buffer.concat(body) }),
    );
    stream.on("error", reject);
    for (const part of parts) stream.write(part);
    stream.end();
  });
}

function pattern(text: string): RegExp {
  return text.startsWith("(?i)") ? new RegExp(text.slice(4), "i") : new RegExp(text);
}

function checkHeaders(headers: Record<string, string>, rules: Record<string, HeaderRule>): void {
  for (const [name, rule] of Object.entries(rules)) {
    const value: string | undefined = headers[name];
    if (typeof rule === "string") assertEquals(value, rule, name);
    else if (rule.absent) assertEquals(value, undefined, name);
    else if (rule.absentOrMatch !== undefined) {
      assert(value === undefined || pattern(rule.absentOrMatch).test(value), name);
    } else assert(value !== undefined && pattern(rule.match!).test(value), `${name}: ${value}`);
  }
}

/** Checks that `actual` has at least what `expected` has. */
function checkMatch(actual: Json, expected: Json, path = "$"): void {
  if (typeof expected === "object" && expected !== null && typeof expected.match === "string") {
    return assert(pattern(expected.match).test(actual), `${path}: ${actual}`);
  }
  if (typeof expected !== "object" || expected === null) return assertEquals(actual, expected, path);
  assert(typeof actual === "object" && actual !== null, `${path}: ${JSON.stringify(actual)}`);
  for (const [key, value] of Object.entries(expected)) checkMatch(actual[key], value, `${path}.${key}`);
}

function checkJson(actual: Json, { json, jsonMatch, onlyKeys }: Omit<EnvelopeRule, "flags">): void {
  if (json !== undefined) assertEquals(actual, json);
  if (jsonMatch !== undefined) checkMatch(actual, jsonMatch);
  if (onlyKeys !== undefined) {
    assertEquals(Object.keys(actual).filter((key) => !onlyKeys.includes(key)), []);
  }
}

function envelopesOf(bytes: Uint8Array): { flags: number; value: Json }[] {
  const found = [];
  for (let at = 0; at < bytes.length;) {
    const length = new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(1);
    const text = new TextDecoder().decode(bytes.subarray(at + 5, at + 5 + length));
    found.push({ flags: bytes[at]!, value: JSON.parse(text) });
    at += 5 + length;
  }
  return found;
}

function check({ expect }: Vector, { status, headers, body: sent }: Answer): void {
  const statuses = [expect.status].flat();
  const body = headers["content-encoding"] === "gzip" ? new Uint8Array(gunzipSync(sent)) : sent;
  const text = new TextDecoder().decode(body);
  assert(statuses.includes(status), `status ${status}: ${text.slice(0, 300)}`);
  checkHeaders(headers, expect.headers ?? {});
  const { json, jsonMatch, envelopes, envelopesEndWith, never = expect.never } = expect.body;
  if (never !== undefined) assert(!text.includes(never), text);
  if (json !== undefined || jsonMatch !== undefined) checkJson(JSON.parse(text), expect.body);
  if (envelopes === undefined && envelopesEndWith === undefined) return;
  const found = envelopesOf(body);
  const rules = envelopes ?? [envelopesEndWith!];
  const compared = envelopes === undefined ? found.slice(-1) : found;
  assertEquals(compared.map(({ flags }) => flags), rules.map(({ flags }) => flags), text);
  for (const [i, rule] of rules.entries()) checkJson(compared[i]!.value, rule);
}

async function failuresOf(send: (request: Vector["request"]) => Promise<Answer>): Promise<string[]> {
  const failures: string[] = [];
  for (const vector of vectors) {
    try {
      check(vector, await send(vector.request));
    } catch (error) {
      failures.push(`${vector.name}: ${(error as Error).message}`);
    }
  }
  return failures;
}

Deno.test("web vectors: every request is answered as it must be, over HTTP/1.1", async () => {
  await using door = new ProbeDoor();
  assertEquals(await failuresOf((request) => overHttp1(door.port, request)), []);
  assertEquals(({} as { polluted?: unknown }).polluted, undefined);
  assertEquals(door.server.stats().inFlight, 0);
});

Deno.test("web vectors: every request is answered as it must be, over HTTP/2", async () => {
  await using door = new ProbeDoor();
  const client = http2.connect(door.url);
  try {
    assertEquals(await failuresOf((request) => overHttp2(client, door.port, request)), []);
  } finally {
    await new Promise<void>((resolve) => client.close(resolve));
  }
});

Deno.test("web vectors: JSON is encoded as the bytes of a google.protobuf.Value", () => {
  for (const { json, bytes } of values) {
    assertEquals(valueBytes(json).toBase64({ omitPadding: true }), bytes, JSON.stringify(json));
  }
});
