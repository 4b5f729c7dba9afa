// The command `call`: makes one call, with arguments from the command line or standard input, and prints the
// response as lines of JSON.

import { advised } from "./advice.ts";
import type { Command, Invocation } from "./command.ts";
import { InputItems } from "./input_items.ts";
import { parseValue } from "./parse_value.ts";
import { printValue } from "./print_value.ts";
import { callOptions, CONNECT_FLAGS, openService, readMethod, readTarget } from "./target.ts";

/** Calls a method. */
export const call: Command = {
  name: "call",
  summary: "Calls a method and prints the response",
  operands: "ADDRESS METHOD [JSON]",
  about:
    `JSON is the argument; if omitted, the argument is undefined. With -, the argument is a stream: one JSON
value per line of standard input, sent as the lines arrive. The response is printed as JSON, one value
per line; the items of a stream are printed as they arrive. Ctrl-C cancels the call.

Values that JSON does not have are written like this, in both directions: {"$bytes":"AAE="} (base64;
{"$hex":"0001"} is also accepted), {"$date":"2026-01-31T12:00:00Z"}, {"$bigint":"1"},
{"$number":"NaN"}, {"$map":[[key,value]]}, {"$set":[1]}, {"$Float32Array":[1.5]}. undefined is printed
as null.`,
  flags: [
    ...CONNECT_FLAGS,
    { name: "pretty", help: "Print values on several lines, indented" },
    { name: "json", help: "Print errors as JSON, too" },
  ],
  examples: [
    [`call localhost:9000 Arith.sum '{"a": 1, "b": 2}'`, "A unary call"],
    ["call tls@api.example.com:9000 Log.follow --timeout none --token TOKEN", "A stream, until Ctrl-C"],
    ["call localhost:9000 Math.sum - < numbers.jsonl", "A stream of arguments, one per line"],
    [`call http://127.0.0.1:9999 Echo.echo '"hello"'`, "A server from a registry that offers Echo"],
    [`call localhost:9000 Files.put '{"name": "a", "content": {"$bytes": "AAEC"}}'`, "Bytes"],
  ],
  run,
};

async function run(invocation: Invocation): Promise<void> {
  const { operands: [address = "", name = "", json], flags, shell } = invocation;
  const target = readTarget(address);
  const { method, service } = readMethod(name);
  const options = callOptions(invocation);
  const pretty = flags.has("pretty");
  const input = json === "-" ? new InputItems(shell) : undefined;
  const args = input ?? (json === undefined ? undefined : parseValue(json, "The argument"));
  await using client = await openService(target, service, invocation);
  try {
    // For a unary method, the stream has one item.
    for await (const value of client.stream(method, args, options)) {
      await shell.out(`${printValue(value, pretty)}\n`);
    }
  } catch (error) {
    throw input?.failure ?? await advised(error, method, client);
  } finally {
    await input?.close();
  }
}
