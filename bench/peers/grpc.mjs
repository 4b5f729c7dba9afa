// @grpc/grpc-js with protobuf, with the definition as an object. Each client has its own connection.

import grpc from "npm:@grpc/grpc-js@1.14.7";
import loader from "npm:@grpc/proto-loader@0.8.1";
import { byteItems, recordList } from "./items.mjs";

export const variants = ["async", "interceptor", "token"];

const TOKEN = "0123456789abcdef0123456789abcdef";
const message = (fields) => ({
  fields: Object.fromEntries(fields.map(([name, type], i) => [name, { type, id: i + 1 }])),
});
const definition = loader.fromJSON({
  nested: {
    bench: {
      nested: {
        Addends: message([["a", "double"], ["b", "double"]]),
        Sum: message([["sum", "double"]]),
        Body: message([["bytes", "bytes"]]),
        Text: message([["text", "string"]]),
        Record: message([
          ["id", "int32"],
          ["name", "string"],
          ["email", "string"],
          ["active", "bool"],
          ["score", "double"],
        ]),
        Records: { fields: { records: { rule: "repeated", type: "Record", id: 1 } } },
        Received: message([["items", "double"]]),
        Wanted: message([["count", "uint32"], ["size", "uint32"]]),
        Arith: {
          methods: {
            sum: { requestType: "Addends", responseType: "Sum" },
            echo: { requestType: "Body", responseType: "Body" },
            text: { requestType: "Text", responseType: "Text" },
            records: { requestType: "Wanted", responseType: "Records" },
            upload: { requestType: "Body", responseType: "Received", requestStream: true },
            received: { requestType: "Sum", responseType: "Received" },
            stream: { requestType: "Wanted", responseType: "Body", responseStream: true },
          },
        },
      },
    },
  },
}, { defaults: true });
const { Arith } = grpc.loadPackageDefinition(definition).bench;

async function stream(call) {
  const { count, size } = call.request;
  const items = byteItems(size).map((bytes) => ({ bytes }));
  for (let i = 0; i < count; i++) {
    if (!call.write(items[i % items.length])) await new Promise((resolve) => call.once("drain", resolve));
  }
  call.end();
}

const sum = ({ request: { a, b } }, reply) => reply(null, { sum: a + b });
const sums = {
  async async(call, reply) {
    await null;
    sum(call, reply);
  },
  token(call, reply) {
    if (call.metadata.get("authorization")[0] === `Bearer ${TOKEN}`) sum(call, reply);
    else reply({ code: grpc.status.UNAUTHENTICATED });
  },
};

export function serve({ host, variant }) {
  let items = 0;
  const interceptors = variant === "interceptor"
    ? [(_method, call) => new grpc.ServerInterceptingCall(call)]
    : [];
  const server = new grpc.Server({ interceptors });
  server.addService(Arith.service, {
    sum: sums[variant] ?? sum,
    text: ({ request: { text } }, reply) => reply(null, { text }),
    records: ({ request: { count } }, reply) => reply(null, { records: recordList(count) }),
    echo: ({ request: { bytes } }, reply) => reply(null, { bytes }),
    upload: (call, reply) => call.on("data", () => items++).on("end", () => reply(null, { items })),
    received: (_call, reply) => reply(null, { items }),
    stream,
  });
  return new Promise((resolve, reject) => {
    const done = (error, port) => error ? reject(error) : resolve(port);
    server.bindAsync(`${host}:0`, grpc.ServerCredentials.createInsecure(), done);
  });
}

export async function connect(port, { host, variant }) {
  const interceptors = variant === "interceptor"
    ? [(options, next) => new grpc.InterceptingCall(next(options))]
    : [];
  const options = { "grpc.use_local_subchannel_pool": 1, interceptors };
  const client = new Arith(`${host}:${port}`, grpc.credentials.createInsecure(), options);
  const wait = (start) =>
    new Promise((resolve, reject) => start((error, reply) => error ? reject(error) : resolve(reply)));
  await wait((done) => client.waitForReady(Date.now() + 10_000, done));
  return {
    sum: variant === "token"
      ? async (a, b) => {
        const metadata = new grpc.Metadata();
        metadata.set("authorization", `Bearer ${TOKEN}`);
        return (await wait((done) => client.sum({ a, b }, metadata, done))).sum;
      }
      : async (a, b) => (await wait((done) => client.sum({ a, b }, done))).sum,
    text: async (text) => (await wait((done) => client.text({ text }, done))).text,
    records: async (count) => (await wait((done) => client.records({ count }, done))).records,
    echo: async (bytes) => (await wait((done) => client.echo({ bytes }, done))).bytes,
    async upload(size) {
      const call = client.upload(() => {});
      const items = byteItems(size).map((bytes) => ({ bytes }));
      for (let i = 0;; i++) {
        if (!call.write(items[i % items.length])) await new Promise((resolve) => call.once("drain", resolve));
      }
    },
    received: async () => (await wait((done) => client.received({}, done))).items,
    stream: (count, size, take) =>
      new Promise((resolve, reject) => {
        client.stream({ count, size })
          .on("data", ({ bytes }) => take(bytes[0], bytes.length))
          .on("error", reject)
          .on("end", resolve);
      }),
  };
}
