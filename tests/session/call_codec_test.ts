// The codec of a connection is the client's choice among those that both sides know.

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { CborCodec, type Codec } from "../../codec/mod.ts";
import { connect, RpcError, Server } from "../../mod.ts";
import { Link } from "../support/service_link.ts";
import { fails } from "../support/session_pair.ts";

const echo = (args: unknown) => args;

/** Numbers only, as text in base 36. */
const base36: Codec = {
  name: "application/x.base36",
  encode(value, out) {
    if (typeof value !== "number") throw new TypeError(`Cannot encode a ${typeof value}: only numbers`);
    out.append(new TextEncoder().encode(value.toString(36)));
  },
  decode(bytes, start, end) {
    const text = new TextDecoder().decode(bytes.subarray(start, end));
    if (!/^-?[0-9a-z]+$/.test(text)) throw new SyntaxError("Cannot decode: only base 36");
    return parseInt(text, 36);
  },
};

Deno.test("codec: JSON carries JSON values, and refuses others on either side", async () => {
  await using link = await Link.open({
    echo,
    date: () => new Date(0),
    type: (args: unknown) => args === null ? "null" : typeof args,
    greet: (name = "you") => `Hello, ${name}!`,
    fail: () => {
      throw new RpcError("aborted", "☺", { details: { a: [1] } });
    },
    oddly: () => {
      throw new RpcError("aborted", "odd", { details: 5n });
    },
  }, { client: { codecType: "application/json" } });
  const value = { a: [1, 2.5, null, true, "☺\n"], b: {} };
  assertEquals(await link.call("echo", value), value);
  assertEquals([await link.call("type"), await link.call("type", null)], ["undefined", "undefined"]);
  assertEquals(await link.call("greet"), "Hello, you!");
  await fails(link.call("echo", { a: [1n] }), "invalid_argument", ".a[0]");
  await fails(link.call("date"), "internal", "Cannot send the result");
  assertEquals((await fails(link.call("fail"), "aborted", "☺")).details, { a: [1] });
  assertEquals((await fails(link.call("oddly"), "aborted", "odd")).details, undefined);
  assertEquals(await link.call("echo", 1), 1);
});

Deno.test("codec: a custom codec is used for a connection when both sides have it", async () => {
  await using link = await Link.open({ double: (n: number) => n * 2, text: () => "text", echo }, {
    server: { codecs: [base36] },
    client: { codecs: [base36], codecType: base36.name },
  });
  assertEquals(await link.call("double", 12_345), 24_690);
  await fails(link.call("double", "text"), "invalid_argument", "only numbers");
  await fails(link.call("text", 1), "internal", "only numbers");
  // Other connections of the same server speak what they like.
  await using cbor = await connect(link.address);
  assertEquals(await cbor.call("S.text"), "text");
});

Deno.test("codec: where a result has too many items, the client's error and the logs of both sides name maxItems", async () => {
  const dates = (count: number) => Array.from({ length: count }, (_, i) => new Date(i));
  const logs: { server: string[]; client: string[] } = { server: [], client: [] };
  const to = (lines: string[]) => (message: string, error?: unknown) => {
    lines.push(error instanceof Error ? `${message}: ${error.message}` : message);
  };
  const many = dates(60_000);
  await using server = new Server({ log: to(logs.server) }).register("Dates", {
    few: () => dates(1_000),
    many: () => many,
    async *stream() {
      yield many;
    },
    count: (values: readonly Date[]) => values.length,
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address, { log: to(logs.client) });
  await client.call("Dates.few");
  assertEquals(logs, { server: [], client: [] });

  for (let i = 0; i < 2; i++) await fails(client.call("Dates.many"), "data_loss", "100000 items (maxItems)");
  await fails(Array.fromAsync(client.stream("Dates.stream")), "data_loss", "100000 items (maxItems)");
  const shown = (line: string) => line.replaceAll(/tcp@\S+|byte \d+/g, (part) => part.split(/[@ ]/)[0]!);
  const why = "more than 100000 items (maxItems)";
  assertEquals(logs.server.splice(0).map(shown), [
    `tcp may reject a message of Dates.many: ${why}`,
    `tcp may reject a message of Dates.stream: ${why}`,
  ]);
  assertEquals(logs.client.splice(0).map(shown), [
    `tcp has sent a message of Dates.many that is rejected: Cannot decode CBOR at byte: ${why}`,
    `tcp has sent a message of Dates.stream that is rejected: Cannot decode CBOR at byte: ${why}`,
  ]);

  await fails(client.call("Dates.count", many), "invalid_argument", why);
  assertEquals(logs.server.map(shown), [
    `tcp has sent a message of Dates.count that is rejected: Cannot decode CBOR at byte: ${why}`,
  ]);
  assertEquals(logs.client.map(shown), [`tcp may reject a message of Dates.count: ${why}`]);
});

Deno.test("codec: the log says why a message of the peer is rejected, and quotes nothing of it", async () => {
  const quoted = 'pass\u001b[31m\n"secret';
  const cut: Codec = {
    name: "application/x.cut",
    encode: (_, out) => out.append(new TextEncoder().encode(quoted)),
    decode: (bytes, start, end) => JSON.parse(new TextDecoder().decode(bytes.subarray(start, end))),
  };
  const log: unknown[][] = [];
  await using server = new Server({ codecs: [cut], log: (...line) => void log.push(line) }).register("S", {
    echo,
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address, { codecType: cut.name, codecs: [cut] });
  await fails(client.call("S.echo", 1), "invalid_argument", "is not valid JSON");
  assertEquals(log.length, 1);
  assertMatch(String(log[0]), /^tcp@\S+ has sent a message of S\.echo that is rejected: \P{Cc}+$/u);
  assertEquals(String(log[0]).includes("secret"), false, String(log[0]));
});

Deno.test("codec: a receiver with a higher maxItems takes what the sender warns of", async () => {
  const many = Array.from({ length: 60_000 }, (_, i) => new Date(i));
  const log: string[] = [];
  await using server = new Server({ log: (line) => void log.push(line) }).register("Dates", {
    many: () => many,
  });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  await using client = await connect(address, { codecs: [new CborCodec({ maxItems: 200_000 })] });
  for (let i = 0; i < 3; i++) assertEquals(await client.call("Dates.many"), many);
  assertEquals(log.length, 1, "once for a connection");
});

Deno.test("codec: an unknown codec is refused by the server, which lists its own", async () => {
  await using server = new Server().register("S", { echo });
  const { address } = await server.listen("tcp@127.0.0.1:0");
  const error = await fails(connect(address, { codecs: [base36], codecType: base36.name }), "unimplemented");
  for (const part of [address, "application/x.base3", "application/cbor, application/json"]) {
    assert(error.message.includes(part), error.message);
  }
  assertEquals(error.remote, true);
});

Deno.test("codec: a codec that the client lacks is refused before dialing", async () => {
  for (const codecType of ["text/plain", "application/JSON", "", "constructor", 5]) {
    await assertRejects(
      () => connect("tcp@127.0.0.1:9", { codecType: codecType as string }),
      TypeError,
      "codecType",
    );
  }
  await assertRejects(
    () => connect("tcp@127.0.0.1:9", { codecs: [{ ...base36, name: "x" }] }),
    TypeError,
    "codec",
  );
});

Deno.test("codec: a codec that writes nothing for a value fails its call, since an empty body means no value", async () => {
  const silent: Codec = {
    name: "application/x.silent",
    encode(value, out) {
      if (value !== "") out.append(new TextEncoder().encode(String(value)));
    },
    decode: (bytes, start, end) => new TextDecoder().decode(bytes.subarray(start, end)),
  };
  await using link = await Link.open({ echo, empty: () => "" }, {
    server: { codecs: [silent] },
    client: { codecs: [silent], codecType: silent.name },
  });
  assertEquals(await link.call("echo", "text"), "text");
  await fails(link.call("echo", ""), "invalid_argument", "application/x.silent");
  await fails(link.call("empty", "?"), "internal", "application/x.silent");
});

Deno.test("codec: a codec that throws, or decodes wrongly, fails only its call", async () => {
  const moody: Codec = {
    name: "application/x.moody",
    encode(value, out) {
      if (value === "throw") throw "not even an Error";
      out.append(new TextEncoder().encode(String(value)));
    },
    decode(bytes, start, end) {
      const text = new TextDecoder().decode(bytes.subarray(start, end));
      if (text === "unreadable") throw undefined;
      return text;
    },
  };
  await using link = await Link.open({ echo, bad: () => "unreadable" }, {
    server: { codecs: [moody] },
    client: { codecs: [moody], codecType: moody.name },
  });
  await fails(link.call("echo", "throw"), "invalid_argument", "not even an Error");
  await fails(link.call("echo", "unreadable"), "invalid_argument", "Cannot decode the arguments of S.echo");
  await fails(link.call("bad"), "data_loss", "Cannot decode the result of S.bad");
  assertEquals(await link.call("echo", "ok"), "ok");
});
