// Calls the probe of tests/web with a client of the Connect protocol, and prints what came of each call as JSON. Run with
// Node by connect_real_test.ts, in a folder where the packages of package.json are installed.

import { create, createFileRegistry, fromBinary, fromJson, toBinary, toJson } from "@bufbuild/protobuf";
import {
  file_google_protobuf_empty,
  file_google_protobuf_struct,
  FileDescriptorProtoSchema,
  MethodOptionsSchema,
  StructSchema,
  ValueSchema,
} from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport as createNodeTransport } from "@connectrpc/connect-node";
import { createConnectTransport as createWebTransport } from "@connectrpc/connect-web";

const [url, kind] = process.argv.slice(2);

// FieldDescriptorProto: types 5 int32, 9 string, 11 message; label 1 optional.
const field = (name, number, type, typeName) => ({
  name,
  jsonName: name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase()),
  number,
  label: 1,
  type,
  typeName,
});
const ints = (...names) => names.map((name, i) => field(name, i + 1, 5));
const texts = (...names) => names.map((name, i) => field(name, i + 1, 9));
const VALUE = ".google.protobuf.Value";
const method = (name, input, output, options = {}) => ({
  name,
  inputType: input.startsWith(".") ? input : `.vectors.v1.${input}`,
  outputType: output.startsWith(".") ? output : `.vectors.v1.${output}`,
  ...options,
});
const EMPTY = ".google.protobuf.Empty";
const STRUCT = ".google.protobuf.Struct";

const file = create(FileDescriptorProtoSchema, {
  name: "vectors.proto",
  package: "vectors.v1",
  syntax: "proto3",
  dependency: ["google/protobuf/empty.proto", "google/protobuf/struct.proto"],
  messageType: [
    { name: "Pair", field: ints("a", "b") },
    { name: "Sum", field: ints("sum") },
    { name: "Failure", field: [...texts("code", "message"), field("details", 3, 11, VALUE)] },
    { name: "Pause", field: ints("ms") },
    { name: "Meta", field: texts("in", "in_bin") },
    {
      name: "Count",
      field: [field("n", 1, 5), field("fail_after", 2, 5), field("code", 3, 9), field("every_ms", 4, 5)],
    },
    { name: "Item", field: ints("v") },
    { name: "Total", field: ints("total", "items") },
  ],
  service: [{
    name: "Probe",
    method: [
      method("sum", "Pair", "Sum"),
      method("look", "Pair", "Sum", { options: create(MethodOptionsSchema, { idempotencyLevel: 1 }) }),
      method("echo", STRUCT, STRUCT),
      method("nothing", EMPTY, EMPTY),
      method("fail", "Failure", EMPTY),
      method("sleep", "Pause", EMPTY),
      method("meta", EMPTY, "Meta"),
      method("count", "Count", "Item", { serverStreaming: true }),
      method("total", "Item", "Total", { clientStreaming: true }),
      method("chat", "Item", "Item", { clientStreaming: true, serverStreaming: true }),
    ],
  }],
});
const resolve = {
  "google/protobuf/empty.proto": file_google_protobuf_empty,
  "google/protobuf/struct.proto": file_google_protobuf_struct,
};
const copy = fromBinary(FileDescriptorProtoSchema, toBinary(FileDescriptorProtoSchema, file));
const registry = createFileRegistry(copy, (name) => resolve[name]);
const Probe = registry.getService("vectors.v1.Probe");

const transports = {
  http1: () =>
    createNodeTransport({ baseUrl: url, httpVersion: "1.1", useBinaryFormat: false, useHttpGet: true }),
  http2: () =>
    createNodeTransport({ baseUrl: url, httpVersion: "2", useBinaryFormat: false, useHttpGet: true }),
  web: () => createWebTransport({ baseUrl: url, useHttpGet: true }),
};
const client = createClient(Probe, transports[kind]());

const plain = ({ $typeName: _, ...message }) => message;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function failure(call) {
  try {
    await call();
    return "no error";
  } catch (error) {
    const { code, rawMessage } = ConnectError.from(error);
    return [Code[code], rawMessage];
  }
}

async function* items(...values) {
  for (const v of values) yield { v };
}

async function* endless() {
  for (let v = 1;; v++) {
    yield { v };
    await pause(10);
  }
}

async function collect(stream) {
  const all = [];
  for await (const { v } of stream) all.push(v);
  return all;
}

const results = {
  sum: plain(await client.sum({ a: 1, b: 2 })),
  defaults: plain(await client.sum({ a: 0, b: 2 })),
  get: plain(await client.look({ a: 1, b: 2 })),
  echo: toJson(StructSchema, await client.echo(fromJson(StructSchema, { n: 1.5, list: [true, null, "é"] }))),
  nothing: plain(await client.nothing({})),
  failure: await failure(() => client.fail({ code: "not_found", message: "nothing there" })),
  unknown: await failure(() => client.fail({ code: "data_loss", message: "" })),
};

{
  const details = fromJson(ValueSchema, { why: ["x", 1] });
  try {
    await client.fail({ code: "aborted", message: "m", details });
  } catch (error) {
    const [found] = ConnectError.from(error).findDetails(ValueSchema);
    results.details = found && toJson(ValueSchema, found);
  }
}

{
  let header, trailer;
  const answer = await client.meta({}, {
    headers: { "x-in": "one", "x-in-bin": "AQI" },
    onHeader: (headers) => header = headers.get("x-out"),
    onTrailer: (trailers) => trailer = [trailers.get("x-trail"), trailers.get("x-trail-bin")],
  });
  results.meta = { answer: plain(answer), header, trailer };
}

results.deadline = (await failure(() => client.sleep({ ms: 600_000 }, { timeoutMs: 100 })))[0];
{
  const aborted = new AbortController();
  setTimeout(() => aborted.abort(), 100);
  results.abort = (await failure(() => client.sleep({ ms: 600_001 }, { signal: aborted.signal })))[0];
}

results.count = await collect(client.count({ n: 3 }));
results.countFails = await failure(() => collect(client.count({ n: 3, failAfter: 2, code: "aborted" })));
results.countRefused = (await failure(() => collect(client.count({ n: -1, code: "permission_denied" }))))[0];
{
  let trailer;
  const headers = { "x-want-trailer": "1" };
  await collect(
    client.count({ n: 1 }, { headers, onTrailer: (trailers) => trailer = trailers.get("x-trail") }),
  );
  results.countTrailer = trailer;
}
for await (const { v } of client.count({ n: 100_000, everyMs: 5 })) {
  results.left = v;
  break;
}
results.countDeadline =
  (await failure(() => collect(client.count({ n: 100_000, everyMs: 5 }, { timeoutMs: 100 }))))[0];

if (kind !== "web") {
  results.total = plain(await client.total(items(1, 2, 3)));
  results.totalNone = plain(await client.total(items()));
  results.chat = await collect(client.chat(items(1, 2, 3)));
  const aborted = new AbortController();
  setTimeout(() => aborted.abort(), 100);
  results.totalAborted = (await failure(() => client.total(endless(), { signal: aborted.signal })))[0];
}

process.stdout.write(JSON.stringify(results), () => process.exit(0));
